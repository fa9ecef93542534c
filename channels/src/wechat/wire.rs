//! What WeChat writes: answers of its API (JSON) and callbacks (XML).

use super::xml::Node;
use serde::Deserialize;

/// An answer of any call. WeChat answers 200 whatever happened; `errcode` tells.
#[derive(Debug, Default, Deserialize)]
pub struct Answer {
    /// 0 or absent: done.
    pub errcode: Option<i64>,
    /// Words for it, with an id to quote to the support.
    pub errmsg: Option<String>,
    /// `stable_token`: the token.
    pub access_token: Option<String>,
    /// `stable_token`: the seconds for which it is good.
    pub expires_in: Option<u64>,
    /// `media/upload`: the id of the file.
    pub media_id: Option<String>,
    /// `template/send`: the id of the message.
    pub msgid: Option<i64>,
    /// `media/get`: where a film is.
    pub video_url: Option<String>,
}

/// `user/info`. No name and no picture since 27 December 2021.
#[derive(Debug, Deserialize)]
pub struct UserInfo {
    /// 1: follows the account. 0: nothing else is told.
    pub subscribe: Option<i64>,
    /// The id within this account.
    pub openid: String,
    /// The id over the accounts of one owner.
    pub unionid: Option<String>,
    /// `zh_CN`, `en`…
    pub language: Option<String>,
    /// What the account's operators noted.
    pub remark: Option<String>,
    /// How they came: `ADD_SCENE_QR_CODE`…
    pub subscribe_scene: Option<String>,
    /// The scene of the code that they scanned.
    pub qr_scene_str: Option<String>,
}

/// A callback: what all of them have, and the element itself.
#[derive(Debug)]
pub struct Push<'a> {
    /// The `gh_…` id of the account.
    pub to: Option<&'a str>,
    /// The openid of the person.
    pub from: &'a str,
    /// Unix time in seconds.
    pub created: i64,
    /// `text`, `image`, `event`… in lower case.
    pub kind: String,
    /// Everything else.
    pub fields: &'a Node,
}

impl<'a> Push<'a> {
    /// Reads what all callbacks have. `None`: it is not one.
    pub fn read(document: &'a Node) -> Option<Self> {
        Some(Self {
            to: document.word("ToUserName"),
            from: document.word("FromUserName")?,
            created: document.word("CreateTime")?.parse().ok()?,
            kind: document.word("MsgType")?.to_ascii_lowercase(),
            fields: document,
        })
    }

    /// The text of an element, unless it is blank.
    pub fn word(&self, name: &str) -> Option<&'a str> {
        self.fields.word(name)
    }

    /// The text of an element anywhere in the callback, unless it is blank.
    pub fn deep(&self, name: &str) -> Option<&'a str> {
        let found = self.fields.all(name).into_iter().next()?;
        Some(found.text.trim()).filter(|text| !text.is_empty())
    }

    /// The name of an event in lower case: WeChat writes `CLICK` and `subscribe`.
    pub fn event(&self) -> Option<String> {
        self.word("Event").map(str::to_ascii_lowercase)
    }
}
