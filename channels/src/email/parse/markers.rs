//! How mail programs mark quoted history and signatures, language by language. The regular expressions
//! are of the linear kind: text of strangers cannot make them slow.

use regex::{Regex, RegexSet};
use std::sync::LazyLock;

/// Characters of a line that are matched; a longer one is no attribution.
const LINE_CHARS: usize = 400;

/// Lines before a quote that say who wrote it and when. Every one needs a digit (the date) or an
/// address, so that a sentence that happens to begin with "On" is left alone.
const ATTRIBUTIONS: [&str; 30] = [
    // English, and Samsung's and BlackBerry's "sent"
    r"^On\b.*\d.*\b(wrote|sent|writes|said)\s*:$",
    r"^.{0,60}<[^<>\s]+@[^<>\s]+>\s+(wrote|schrieb|a écrit|escribió|scrive)\s*:$",
    // German
    r"^Am\b.*\d.*\bschrieb\b.*:$",
    r"^.*\bschrieb am\b.*\d.*:$",
    // French
    r"^Le\b.*\d.*\ba écrit\s*:$",
    // Spanish, Italian, Portuguese, Catalan, Romanian
    r"^El\b.*\d.*\bescribió\s*:$",
    r"^Il\b.*\d.*\bha scritto\s*:$",
    r"^(Em|No dia|A)\b.*\d.*\bescreveu\s*:$",
    r"^(El|Missatge de)\b.*\d.*\bva escriure\s*:$",
    r"^.*\d.*\ba scris\s*:$",
    // Dutch
    r"^Op\b.*\d.*\b(schreef|geschreven)\b.*:$",
    // Swedish, Danish, Norwegian
    r"^.*\d.*\b(skrev|skreiv)\b.*:$",
    // Finnish
    r"^.*\d.*\bkirjoitti\b.*:$",
    // Polish, Czech, Slovak, Hungarian, Croatian
    r"^(W dniu|Dnia|.*\d{4}).*\d.*\b(napisał|napisała|napisał\(a\)|nadesłał|pisze)\s*:$",
    r"^(Dne|Dňa|.*\d{4}).*\d.*\bnap[ií]?sal(a|\(a\))?\s*:$",
    r"^.*\d.*\b(ezt írta|írta)\b.*:$",
    r"^.*\d.*\b(je napisao|je napisala|napisao/la je)\s*:$",
    // Russian, Ukrainian, Bulgarian, Greek
    r"^.*\d.*(написал|написала|написал\(а\)|пишет|написав|написа)\s*:$",
    r"^.*\d.*έγραψε\s*:$",
    // Turkish
    r"^.*\d.*\byazdı\s*:$",
    // Japanese
    r"^\d{4}年.*\d.*[<＜].*@.*[>＞]\s*[:：]$",
    r"^.*\d.*(のメール|さんは書きました|wrote)\s*[:：]$",
    // Chinese
    r"^.*\d.*(写道|寫道)\s*[:：]$",
    // Korean
    r"^.*\d.*님이\s*(작성|썼|쓰).*[:：]$",
    // Vietnamese, Indonesian, Thai
    r"^Vào\b.*\d.*đã viết\s*:$",
    r"^Pada\b.*\d.*\bmenulis\s*:$",
    r"^.*\d.*เขียนว่า\s*:$",
    // Arabic, Hebrew
    r"^.*\d.*(كتب|כתב|כתבה).*:\S*$",
    // No language at all
    r"^\d{4}-\d\d-\d\d \d\d?:\d\d.*<[^<>\s]+@[^<>\s]+>\s*:$",
    r"^\w{2,5}\.?,? \d{1,2}\.? \w{3,10}\.? \d{4}.*<[^<>\s]+@[^<>\s]+>\s*:$",
];

/// Lines after which everything is history.
const RULES: [&str; 4] = [
    r"^-{3,}\s*(Original Message|Original Appointment|Reply Message|Ursprüngliche Nachricht|Originalnachricht|Message d'origine|Message d’origine|Message original|Mensaje original|Mensagem original|Messaggio originale|Oorspronkelijk bericht|Oprindelig meddelelse|Oprindelig besked|Original meddelelse|Ursprungligt meddelande|Opprinnelig melding|Alkuperäinen viesti|Wiadomość oryginalna|Původní zpráva|Исходное сообщение|Пересылаемое сообщение|原始邮件|原始郵件|元のメッセージ|원본 메시지)\s*-{3,}\s*$",
    r"^-{3,}\s*(Original message|Ursprüngliche Nachricht|Message d'origine)\s*-{3,}.*$",
    r"^_{20,}\s*$",
    r"^.{0,40}(Reply above this line|Antworten Sie oberhalb dieser Zeile|Skriv ditt svar ovanför denna rad|Répondez au-dessus de cette ligne).{0,40}$",
];

/// Where a forwarded mail begins: content that the sender wants us to see.
const FORWARDED: [&str; 3] = [
    r"^-{5,}\s*(Forwarded message|Forwarded Message|Weitergeleitete Nachricht|Message transféré|Mensaje reenviado|Messaggio inoltrato|Mensagem encaminhada|Doorgestuurd bericht|Vidarebefordrat meddelande|Vidarebefordrat mejl|Videresendt meddelelse|Videresendt melding|Przekazana wiadomość|转发的邮件|転送メッセージ)\s*-{5,}",
    r"^(Begin forwarded message|Anfang der weitergeleiteten Nachricht|Début du message transféré|Début du message réexpédié|Inicio del mensaje reenviado|Inizio messaggio inoltrato|Início da mensagem reencaminhada|Begin doorgestuurd bericht|Vidarebefordrat brev|Start på videresendt besked)\s*:",
    r"^-{5,}\s*Forwarded by\b.*-{5,}",
];

/// Labels of a header block: who, and what else. A block is one of the first kind and one of the others.
const FROM_LABELS: [&str; 17] = [
    "from", "von", "de", "da", "van", "från", "fra", "od", "lähettäjä", "от", "від", "发件人", "寄件者",
    "差出人", "보낸 사람", "kimden", "feladó",
];
const OTHER_LABELS: [&str; 70] = [
    "sent", "date", "to", "cc", "subject", "gesendet", "datum", "an", "betreff", "envoyé", "à", "objet",
    "enviado", "enviado el", "fecha", "para", "asunto", "assunto", "data", "inviato", "a", "oggetto",
    "verzonden", "aan", "onderwerp", "skickat", "till", "ämne", "kopia", "sendt", "til", "emne", "dato",
    "wysłano", "do", "temat", "odesláno", "komu", "předmět", "kopie", "lähetetty", "päivämäärä",
    "vastaanottaja", "aihe", "отправлено", "кому", "тема", "дата", "发送时间", "发送日期", "收件人",
    "主题", "寄件日期", "收件者", "主旨", "抄送", "日期", "送信日時", "宛先", "件名", "日時", "보낸 날짜",
    "받는 사람", "제목", "날짜", "gönderildi", "kime", "konu", "küldve", "tárgy",
];

/// Last lines that a telephone or program puts there by itself.
const SIGNED_BY_DEVICE: [&str; 14] = [
    r"^(Sent|Sendt|Skickat|Verzonden|Verstuurd) (from|via|vanaf|met|med|fra|från) (my|mijn|min|Outlook|Yahoo|Mail|a |AOL|Proton|Samsung|Gmail|mijn)?.{0,60}$",
    r"^Sent with .{0,60}$",
    r"^Get Outlook for .{0,30}$",
    r"^(Gesendet|Diese Nachricht wurde) (von|mit|vom|aus) .{0,80}(gesendet)?\.?$",
    r"^Von (meinem|meiner) .{0,60} gesendet\.?$",
    r"^(Envoyé|Télécharger Outlook|Obtenir Outlook|Provenance\s*:).{0,80}$",
    r"^(Enviado|Obtener Outlook|Obter o Outlook|Obtenha o Outlook) (desde|do|de|a partir|para|via|dal).{0,60}$",
    r"^(Inviato|Scarica Outlook|Ottieni Outlook) (da|dal|per).{0,60}$",
    r"^(Hämta|Hent|Skaff|Få) Outlook (för|til|for) .{0,30}$",
    r"^(Lähetetty|Hanki Outlook).{0,60}$",
    r"^(Wysłane|Wysłano|Pobierz|Uzyskaj) (z|aplikację|program).{0,60}$",
    r"^(Odesláno|Získejte Outlook|Odoslané) (z|ze|pro).{0,60}$",
    r"^(Отправлено|Надіслано) (с|из|з|із) .{0,60}$",
    r"^(发自我的|從我的|iPhoneから送信|나의 iPhone에서 보냄|iPhone'umdan gönderildi|Gửi từ).{0,40}$",
];

static ATTRIBUTION: LazyLock<RegexSet> = LazyLock::new(|| set(&ATTRIBUTIONS));
static RULE: LazyLock<RegexSet> = LazyLock::new(|| set(&RULES));
static FORWARD: LazyLock<RegexSet> = LazyLock::new(|| set(&FORWARDED));
static DEVICE: LazyLock<RegexSet> = LazyLock::new(|| set(&SIGNED_BY_DEVICE));
static LABEL: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^\s*\*?([\p{L}][\p{L} ]{0,20}?)\s*\*?\s*[:：]\*?\s*\S?").ok());

/// The patterns are constants that the tests compile; an empty set would match nothing.
fn set(patterns: &[&str]) -> RegexSet {
    let insensitive = patterns.iter().map(|p| format!("(?i){p}"));
    RegexSet::new(insensitive).unwrap_or_else(|_| RegexSet::empty())
}

fn short(line: &str) -> Option<&str> {
    let line = line.trim();
    (!line.is_empty() && line.chars().take(LINE_CHARS + 1).count() <= LINE_CHARS).then_some(line)
}

/// Whether a line says who wrote what is quoted below it.
pub fn is_attribution(line: &str) -> bool {
    short(line).is_some_and(|l| l.ends_with([':', '：', '\u{202c}']) && ATTRIBUTION.is_match(l))
}

/// Whether a line separates history from what was written.
pub fn is_rule(line: &str) -> bool {
    short(line).is_some_and(|l| RULE.is_match(l))
}

/// Whether a forwarded mail begins here.
pub fn is_forward(line: &str) -> bool {
    short(line).is_some_and(|l| FORWARD.is_match(l))
}

/// Whether a device wrote this line.
pub fn is_device(line: &str) -> bool {
    short(line).is_some_and(|l| l.chars().count() <= 100 && DEVICE.is_match(l))
}

/// What a line of a header block is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// Who wrote.
    From,
    /// Anything else.
    Other,
}

/// Whether a line belongs to a header block.
pub fn label(line: &str) -> Option<Label> {
    let line = short(line)?;
    let name = LABEL.as_ref()?.captures(line)?.get(1)?.as_str().trim().to_lowercase();
    if FROM_LABELS.contains(&name.as_str()) {
        Some(Label::From)
    } else if OTHER_LABELS.contains(&name.as_str()) {
        Some(Label::Other)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for (patterns, set) in [
            (&ATTRIBUTIONS[..], &ATTRIBUTION),
            (&RULES[..], &RULE),
            (&FORWARDED[..], &FORWARD),
            (&SIGNED_BY_DEVICE[..], &DEVICE),
        ] {
            assert_eq!(set.len(), patterns.len());
        }
        assert!(LABEL.is_some());
    }

    #[test]
    fn attributions_of_every_language() {
        for line in [
            "On Fri, 20 Nov 2026 at 10:00, Support <support@example.net> wrote:",
            "On 20/11/2026 10:00, Support wrote:",
            "Am Fr., 20. Nov. 2026 um 10:00 Uhr schrieb Support <support@example.net>:",
            "Am 20.11.26 um 10:00 schrieb Support:",
            "Le ven. 20 nov. 2026 à 10:00, Support <support@example.net> a écrit :",
            "El vie, 20 nov 2026 a las 10:00, Support (<support@example.net>) escribió:",
            "Il giorno ven 20 nov 2026 alle ore 10:00 Support <support@example.net> ha scritto:",
            "Em sex., 20 de nov. de 2026 às 10:00, Support <support@example.net> escreveu:",
            "Op vr 20 nov 2026 om 10:00 schreef Support <support@example.net>:",
            "Op 20-11-2026 om 10:00 heeft Support het volgende geschreven:",
            "Den fre 20 nov. 2026 kl 10:00 skrev Support <support@example.net>:",
            "20 nov. 2026 kl. 10:00 skrev Support <support@example.net>:",
            "Den 20. november 2026 kl. 10.00 skrev Support:",
            "På fre. 20. nov. 2026 kl. 10:00 skrev Support <support@example.net>:",
            "pe 20. marrask. 2026 klo 10.00 Support (support@example.net) kirjoitti:",
            "W dniu 20.11.2026 o 10:00, Support napisał(a):",
            "Dnia 20 listopada 2026 10:00 Support <support@example.net> napisał:",
            "Dne 20. 11. 2026 v 10:00 Support napsal(a):",
            "пт, 20 нояб. 2026 г. в 10:00, Support <support@example.net> написал:",
            "20.11.2026 10:00, Support пишет:",
            "20 Kas 2026 Cum, saat 10:00 tarihinde Support <support@example.net> şunu yazdı:",
            "2026年11月20日(金) 10:00 Support <support@example.net>:",
            "Support <support@example.net> 于2026年11月20日周五 10:00写道：",
            "2026년 11월 20일 (금) 오전 10:00, Support <support@example.net>님이 작성:",
            "Vào Th 6, 20 thg 11, 2026 vào lúc 10:00 Support <support@example.net> đã viết:",
            "2026-11-20 10:00 GMT+01:00 Support <support@example.net>:",
            "Fri, 20 Nov 2026 10:00:00 +0100 Support <support@example.net>:",
            "Support <support@example.net> wrote:",
            "2026. nov. 20., P 10:00 dátummal Support <support@example.net> ezt írta:",
            "Στις Παρ 20 Νοε 2026 στις 10:00 μ.μ., ο χρήστης Support έγραψε:",
            "În vin., 20 nov. 2026 la 10:00, Support <support@example.net> a scris:",
        ] {
            assert!(is_attribution(line), "{line}");
        }
        for line in [
            "On Monday we wrote:",
            "On the 3rd of May I wrote a letter.",
            "Am Montag:",
            "Here is what I need:",
            "",
            "The error at 10:00 was:",
        ] {
            assert!(!is_attribution(line), "{line}");
        }
    }

    #[test]
    fn rules_forwards_labels_and_devices() {
        for line in [
            "-----Original Message-----",
            "----- Ursprüngliche Nachricht -----",
            "-------- Original message --------",
            "________________________________",
            "--- Reply above this line ---",
        ] {
            assert!(is_rule(line), "{line}");
        }
        for line in ["-----", "____", "--- a table ---"] {
            assert!(!is_rule(line), "{line}");
        }
        assert!(is_forward("---------- Forwarded message ---------"));
        assert!(is_forward("Begin forwarded message:"));
        for (line, expected) in [
            ("From: a@x.se", Some(Label::From)),
            ("*From:* a@x.se", Some(Label::From)),
            ("*Von: *a@x.se", Some(Label::From)),
            ("Envoyé : vendredi", Some(Label::Other)),
            ("发件人： a", Some(Label::From)),
            ("받는 사람: a", Some(Label::Other)),
            ("Hello: world", None),
            ("http://x", None),
        ] {
            assert_eq!(label(line), expected, "{line}");
        }
        for line in [
            "Sent from my iPhone",
            "Get Outlook for Android",
            "Skickat från min iPhone",
            "Von meinem iPhone gesendet",
            "Gesendet von Mail für Windows",
            "Envoyé de mon iPhone",
            "Enviado desde mi iPhone",
            "Inviato da iPhone",
            "Verzonden vanaf mijn iPhone",
            "Sendt fra min iPhone",
            "Odesláno z iPhonu",
            "Wysłano z iPhone'a",
            "Отправлено с iPhone",
            "发自我的 iPhone",
        ] {
            assert!(is_device(line), "{line}");
        }
        assert!(!is_device("Sent the parcel yesterday"));
    }
}
