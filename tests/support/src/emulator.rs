//! The emulated platform of one channel, through the sandbox's own HTTP interface.

use crate::http::{self, Answer};
use crate::until;
use serde_json::{Value, json};

/// One emulated account.
#[derive(Clone)]
pub struct Emulator {
    client: reqwest::Client,
    /// `http://HOST:PORT`
    root: String,
    channel: String,
}

impl Emulator {
    pub(crate) fn new(client: reqwest::Client, root: String, channel: &str) -> Self {
        Self {
            client,
            root,
            channel: channel.to_owned(),
        }
    }

    fn url(&self, what: &str) -> String {
        format!("{}/sandbox/{}/{what}", self.root, self.channel)
    }

    async fn get(&self, what: &str) -> Value {
        let answer = http::send(self.client.get(self.url(what))).await;
        answer.expect("the sandbox answers").expect(200).json
    }

    async fn post(&self, what: &str, body: &Value) -> Answer {
        let request = self.client.post(self.url(what)).json(body);
        http::send(request).await.expect("the sandbox answers")
    }

    /// The customer does something; answers when the gateway has taken the webhooks.
    ///
    /// # Panics
    /// When it cannot be done, or the gateway refuses a webhook.
    pub async fn act(&self, action: Value) -> Value {
        let answer = self.try_act(action.clone()).await;
        assert_eq!(answer.status, 200, "{action}: {}", answer.text());
        for posted in answer.json["posted"].as_array().expect("a list") {
            assert_eq!(posted["status"], 200, "{action}: {posted}");
        }
        answer.json
    }

    /// The same, whatever comes of it.
    pub async fn try_act(&self, action: Value) -> Answer {
        self.post("act", &action).await
    }

    /// The platform's own customer writes this.
    pub async fn say(&self, text: &str) {
        self.act(json!({"do": "say", "text": text})).await;
    }

    /// A certain customer writes this.
    pub async fn say_as(&self, from: &str, text: &str) {
        self.act(json!({"do": "say", "from": from, "text": text}))
            .await;
    }

    /// What stands on the phones, oldest first.
    pub async fn phone(&self) -> Vec<Value> {
        list(self.get("phone").await)
    }

    /// The texts that the gateway sent to anybody, oldest first.
    pub async fn texts(&self) -> Vec<String> {
        let ours = |line: &Value| line["from_gateway"] == json!(true);
        let text = |line: &Value| line["text"].as_str().unwrap_or_default().to_owned();
        self.phone()
            .await
            .iter()
            .filter(|l| ours(l))
            .map(text)
            .collect()
    }

    /// The texts that the gateway sent to this customer, oldest first.
    pub async fn texts_to(&self, customer: &str) -> Vec<String> {
        let lines = self.phone().await.into_iter();
        lines
            .filter(|l| l["from_gateway"] == json!(true) && l["customer"] == json!(customer))
            .map(|l| l["text"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Waits until so many texts of the gateway stand on the phones, and gives them all.
    pub async fn texts_when(&self, count: usize) -> Vec<String> {
        let what = format!("{count} texts on the phones of {}", self.channel);
        until(&what, || async {
            Some(self.texts().await).filter(|texts| texts.len() >= count)
        })
        .await
    }

    /// Requests that the platform saw, oldest first, as the log shows them.
    pub async fn requests(&self) -> Vec<Value> {
        list(self.get("requests").await)
    }

    /// The requests that would have made a message (`sendMessage` and its kin), oldest first.
    pub async fn sends(&self) -> Vec<Value> {
        let requests = self.requests().await.into_iter();
        requests
            .filter(|r| {
                let path = r["path"].as_str().unwrap_or_default().to_lowercase();
                r["method"] == json!("POST")
                    && ["/sendm", "/sendp", "/sendd", "/messages"]
                        .iter()
                        .any(|p| path.contains(p))
            })
            .collect()
    }

    /// Waits until the platform saw so many sends.
    pub async fn sends_when(&self, count: usize) -> Vec<Value> {
        let what = format!("{count} sends to {}", self.channel);
        until(&what, || async {
            Some(self.sends().await).filter(|sends| sends.len() >= count)
        })
        .await
    }

    /// Forgets the conversations, and the webhooks that still wait to be posted.
    pub async fn reset(&self) {
        self.post("reset", &json!({})).await.expect(200);
    }

    /// Adds a fault and gives its number.
    pub async fn fault(&self, fault: Value) -> u64 {
        let answer = self.post("faults", &fault).await.expect(200);
        answer.json["id"].as_u64().expect("a number")
    }

    /// Faults that still wait for requests.
    pub async fn faults(&self) -> Vec<Value> {
        list(self.get("faults").await)
    }

    /// Takes every fault off.
    pub async fn mend(&self) {
        let request = self.client.delete(self.url("faults"));
        http::send(request)
            .await
            .expect("the sandbox answers")
            .expect(200);
    }
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list,
        other => panic!("not a list: {other}"),
    }
}
