//! Slack names its emoji; the rest of the world writes them. The common ones by table, all others stay
//! `:name:`, as do the workspace's own.

/// Name and emoji. The names are Slack's short names, the ones that people react with.
const EMOJI: &[(&str, &str)] = &[
    ("+1", "👍"),
    ("thumbsup", "👍"),
    ("-1", "👎"),
    ("thumbsdown", "👎"),
    ("ok_hand", "👌"),
    ("clap", "👏"),
    ("raised_hands", "🙌"),
    ("pray", "🙏"),
    ("wave", "👋"),
    ("muscle", "💪"),
    ("point_up", "☝️"),
    ("eyes", "👀"),
    ("heart", "❤️"),
    ("broken_heart", "💔"),
    ("blue_heart", "💙"),
    ("green_heart", "💚"),
    ("yellow_heart", "💛"),
    ("purple_heart", "💜"),
    ("smile", "😄"),
    ("smiley", "😃"),
    ("grinning", "😀"),
    ("grin", "😁"),
    ("slightly_smiling_face", "🙂"),
    ("wink", "😉"),
    ("blush", "😊"),
    ("heart_eyes", "😍"),
    ("joy", "😂"),
    ("rolling_on_the_floor_laughing", "🤣"),
    ("laughing", "😆"),
    ("sweat_smile", "😅"),
    ("thinking_face", "🤔"),
    ("neutral_face", "😐"),
    ("disappointed", "😞"),
    ("cry", "😢"),
    ("sob", "😭"),
    ("angry", "😠"),
    ("rage", "😡"),
    ("open_mouth", "😮"),
    ("scream", "😱"),
    ("exploding_head", "🤯"),
    ("sunglasses", "😎"),
    ("partying_face", "🥳"),
    ("zzz", "💤"),
    ("fire", "🔥"),
    ("tada", "🎉"),
    ("sparkles", "✨"),
    ("star", "⭐"),
    ("rocket", "🚀"),
    ("100", "💯"),
    ("bulb", "💡"),
    ("warning", "⚠️"),
    ("white_check_mark", "✅"),
    ("heavy_check_mark", "✔️"),
    ("x", "❌"),
    ("question", "❓"),
    ("exclamation", "❗"),
    ("hourglass_flowing_sand", "⏳"),
    ("calendar", "📆"),
    ("memo", "📝"),
    ("telephone_receiver", "📞"),
    ("email", "📧"),
    ("lock", "🔒"),
    ("moneybag", "💰"),
    ("coffee", "☕"),
];

/// The skin tones that a name may end in.
const TONES: [(&str, &str); 5] = [
    ("::skin-tone-2", "🏻"),
    ("::skin-tone-3", "🏼"),
    ("::skin-tone-4", "🏽"),
    ("::skin-tone-5", "🏾"),
    ("::skin-tone-6", "🏿"),
];

/// The emoji of a name (without colons), or the name between colons.
pub fn shown(name: &str) -> String {
    let tone = TONES.iter().find_map(|(suffix, tone)| Some((name.strip_suffix(suffix)?, *tone)));
    let (plain, tone) = tone.unwrap_or((name, ""));
    match EMOJI.iter().find(|(known, _)| *known == plain) {
        Some((_, emoji)) => format!("{emoji}{tone}"),
        None => format!(":{name}:"),
    }
}

/// The name of an emoji, where the table has one.
pub fn name(emoji: &str) -> Option<String> {
    if let Some(name) = emoji.strip_prefix(':').and_then(|rest| rest.strip_suffix(':')) {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-+:".contains(&b);
        return (!name.is_empty() && name.bytes().all(plain)).then(|| name.to_owned());
    }
    let tone = TONES.iter().find_map(|(suffix, tone)| Some((emoji.strip_suffix(tone)?, *suffix)));
    let (plain, tone) = tone.unwrap_or((emoji, ""));
    let known = EMOJI.iter().find(|(_, known)| *known == plain);
    known.map(|(name, _)| format!("{name}{tone}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_emoji_and_back() {
        assert_eq!(shown("white_check_mark"), "✅");
        assert_eq!(shown("+1::skin-tone-4"), "👍🏽");
        assert_eq!(shown("our_logo"), ":our_logo:");
        for (_, emoji) in EMOJI {
            assert_eq!(shown(&name(emoji).unwrap()), *emoji);
        }
        assert_eq!(name("👍🏽").as_deref(), Some("+1::skin-tone-4"));
        assert_eq!(name(":our_logo:").as_deref(), Some("our_logo"));
        assert_eq!(name("a word"), None);
    }
}
