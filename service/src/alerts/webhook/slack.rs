//! Slack's incoming webhooks: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>. Other chats take the same form,
//! Mattermost and Rocket.Chat among them.

use serde_json::{Value, json};

use crate::kpi::snapshot::{Alert, AlertState, Severity};

/// A line to be read in a notification, and under it, beside a bar of its colour, what to do.
pub fn document(alert: &Alert, source: &str) -> Value {
    let (word, color) = match (alert.state, alert.severity) {
        (AlertState::Resolved, _) => ("Resolved", "good"),
        (AlertState::Firing, Severity::Critical) => ("Critical", "danger"),
        (AlertState::Firing, Severity::Warning) => ("Warning", "warning"),
        (AlertState::Firing, Severity::Info) => ("Info", "#439FE0"),
    };
    let since = alert.since.to_string();
    let until = alert.resolved.map(|at| format!(" until {at}")).unwrap_or_default();
    let text = format!("{}\n`{}` since {since}{until}", alert.advice, alert.id);
    json!({
        "text": escaped(&format!("{word} ({source}): {}", alert.summary)),
        "attachments": [{ "color": color, "text": escaped(&text), "mrkdwn_in": ["text"] }],
    })
}

/// The three characters that mean something in Slack's text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_message_is_taken_for_a_link_or_a_mention() {
        assert_eq!(escaped("<!here> & <https://x>"), "&lt;!here&gt; &amp; &lt;https://x&gt;");
    }
}
