//! What processes tell one another beside the lanes, and what becomes known of the queue itself.

/// News of another process, or of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Something became known of these messages.
    Outcomes(Vec<i64>),
    /// A message was accepted for later.
    Scheduled,
    /// News may have been missed: whoever waits for some looks for itself.
    Missed,
    /// The schedule may lack what the truth calls due: the queue was out of reach, or was emptied.
    Rebuild,
}

impl News {
    /// As text, from this process. `None`: nothing that others are told.
    pub(super) fn write(&self, from: &str) -> Option<String> {
        match self {
            Self::Outcomes(ids) => {
                let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
                Some(format!("{from} outcomes {}", ids.join(" ")))
            }
            Self::Scheduled => Some(format!("{from} scheduled")),
            Self::Rebuild => Some(format!("{from} rebuild")),
            Self::Missed => None,
        }
    }

    /// Reads what another process wrote. `None`: our own words, or those of a later version.
    pub(super) fn read(text: &str, own: &str) -> Option<Self> {
        let mut words = text.split(' ');
        if words.next() == Some(own) {
            return None;
        }
        match words.next()? {
            "outcomes" => Some(Self::Outcomes(
                words.filter_map(|w| w.parse().ok()).collect(),
            )),
            "scheduled" => Some(Self::Scheduled),
            "rebuild" => Some(Self::Rebuild),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_by_the_others() {
        let told = [News::Outcomes(vec![4, 17]), News::Scheduled, News::Rebuild];
        for news in told {
            let text = news.write("me").unwrap();
            assert_eq!(News::read(&text, "you"), Some(news));
            assert_eq!(News::read(&text, "me"), None);
        }
        assert_eq!(News::Missed.write("me"), None);
        // A later version may say more, and other things.
        let later = News::read("you outcomes 4 x:y 5", "me");
        assert_eq!(later, Some(News::Outcomes(vec![4, 5])));
        assert_eq!(News::read("you waltzes", "me"), None);
        assert_eq!(News::read("", "me"), None);
    }
}
