//! What a session is asked to do at once: handed to the page, answered when it is done.

use super::attachments::fetch;
use super::driver::Live;
use super::page::{PageError, js};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use wardroom_actors::ports::engine::{Command, CommandError, Report};

/// How long a pairing code may take.
const PAIRING: Duration = Duration::from_secs(15);

/// How long anything else may take: a message may have to be looked for first. Whoever asked waits a little longer.
const ACT: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Verdict {
    Done,
    Failed { code: String, detail: Option<String> },
}

#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Answered {
    Answer { answer: serde_json::Value },
    Failed { code: String, detail: Option<String> },
}

fn failure(code: String, detail: Option<String>) -> CommandError {
    match code.as_str() {
        "message_not_found" => CommandError::NoMessage,
        "not_on_whatsapp" => CommandError::NotOnNetwork,
        "busy" => CommandError::Busy,
        "no_answer" => CommandError::NoAnswer,
        "not_found" => CommandError::NotFound(detail.unwrap_or(code)),
        _ => CommandError::Refused(detail.unwrap_or(code)),
    }
}

pub(super) async fn obey(live: Arc<Live>, command: Command) {
    let failed = |error: PageError| match error {
        PageError::Threw(text) => CommandError::Refused(text),
        _ => CommandError::NoAnswer,
    };
    match command {
        Command::RequestCode { phone, answer } => {
            let call = format!("__wardroom.pair({})", js(&phone));
            let code = live.page.call::<String>(&call, PAIRING).await;
            if code.is_ok() {
                live.report(Report::PairingCode).await;
            }
            let _ = answer.send(code.map_err(failed));
        }
        Command::Screenshot { answer } => {
            let _ = answer.send(live.page.screenshot().await.map_err(failed));
        }
        Command::Fetch { message, answer } => {
            let _ = answer.send(fetch(&live, &message).await);
        }
        Command::Ask { question, answer } => {
            // The page has one thread; what does not find a place is told to come again.
            let Ok(_place) = live.asking.try_acquire() else { return drop(answer.send(Err(CommandError::Busy))) };
            let answered = live.page.call::<Answered>(&format!("__wardroom.ask({})", js(&question)), ACT).await;
            let _ = answer.send(match answered {
                Ok(Answered::Answer { answer }) => Ok(answer),
                Ok(Answered::Failed { code, detail }) => Err(failure(code, detail)),
                Err(error) => Err(failed(error)),
            });
        }
        Command::Act { action, answer } => {
            let verdict = live.page.call::<Verdict>(&format!("__wardroom.act({})", js(&action)), ACT).await;
            let done = match verdict {
                Ok(Verdict::Done) => Ok(()),
                Ok(Verdict::Failed { code, detail }) => Err(failure(code, detail)),
                Err(error) => Err(failed(error)),
            };
            let _ = answer.send(done);
        }
    }
}
