//! One page of one browser, over chromiumoxide. Its calls have no time-outs that can be relied upon and its handler hangs
//! when the browser dies, so each call is timed here and the handler is dropped at its first error.

use chromiumoxide::cdp::browser_protocol::inspector;
use chromiumoxide::cdp::browser_protocol::page::{
    AddScriptToEvaluateOnNewDocumentParams, CaptureScreenshotFormat, CaptureScreenshotParams, NavigateParams,
};
use chromiumoxide::cdp::browser_protocol::target::CloseTargetParams;
use chromiumoxide::cdp::js_protocol::runtime::EvaluateParams;
use chromiumoxide::error::CdpError;
use chromiumoxide::{Browser, Handler, Page};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Why a call to the page failed. Page contents never get into it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PageError {
    #[error("the page did not answer in time")]
    TimedOut,
    #[error("the connection to the browser is gone")]
    Gone,
    #[error("the page threw an exception: {0}")]
    Threw(String),
    #[error("the page answered something unexpected")]
    Strange,
}

impl From<CdpError> for PageError {
    fn from(error: CdpError) -> Self {
        match error {
            CdpError::JavascriptException(_) => Self::Threw("while evaluating".to_owned()),
            CdpError::Timeout => Self::TimedOut,
            // Chromium's own words, as when a document goes away under a call; nothing of the page is in them.
            CdpError::Chrome(error) => Self::Threw(error.message.chars().take(200).collect()),
            other => {
                tracing::debug!(kind = kind(&other), "a call to a page failed");
                Self::Gone
            }
        }
    }
}

/// The connection.
pub(super) struct PageLink {
    page: Page,
    /// Keeps the browser's command channel open.
    _browser: Browser,
    handler: JoinHandle<()>,
    ended: watch::Receiver<Option<&'static str>>,
}

/// Time for an ordinary call.
const CALL: Duration = Duration::from_secs(6);

impl PageLink {
    /// Connects to a browser and opens a page in it.
    pub async fn open(endpoint: &str) -> Result<Self, PageError> {
        let limit = Duration::from_secs(15);
        let (browser, handler) =
            timeout(limit, Browser::connect(endpoint)).await.map_err(|_| PageError::TimedOut)??;
        let (tell, ended) = watch::channel(None);
        let handler = tokio::spawn(drive(handler, tell.clone()));
        let page = timeout(limit, browser.new_page("about:blank")).await.map_err(|_| PageError::TimedOut)??;
        // The blank page that the browser came up with.
        for other in timeout(limit, browser.pages()).await.map_err(|_| PageError::TimedOut)?? {
            if other.target_id() != page.target_id() {
                let close = CloseTargetParams::new(other.target_id().clone());
                let _ = timeout(CALL, browser.execute(close)).await;
            }
        }
        let mut crashes = page.event_listener::<inspector::EventTargetCrashed>().await?;
        timeout(CALL, page.execute(inspector::EnableParams::default())).await.map_err(|_| PageError::TimedOut)??;
        tokio::spawn(async move {
            if crashes.next().await.is_some() {
                tell.send_replace(Some("the page crashed"));
            }
        });
        Ok(Self { page, _browser: browser, handler, ended })
    }

    /// Ends when the page crashed or the connection broke.
    pub async fn ended(&self) -> &'static str {
        let mut ended = self.ended.clone();
        ended.wait_for(Option::is_some).await.map_or("the connection ended", |how| how.unwrap_or_default())
    }

    /// Runs before the scripts of every page that is loaded from now on.
    pub async fn inject(&self, source: String) -> Result<(), PageError> {
        let script = AddScriptToEvaluateOnNewDocumentParams::new(source);
        timeout(CALL, self.page.execute(script)).await.map_err(|_| PageError::TimedOut)??;
        Ok(())
    }

    /// Loads a page; a network error is a text for operators.
    pub async fn load(&self, url: &str) -> Result<(), PageError> {
        let loaded = timeout(Duration::from_secs(30), self.page.execute(NavigateParams::new(url))).await;
        match loaded.map_err(|_| PageError::TimedOut)??.result.error_text {
            Some(error) => Err(PageError::Threw(error)),
            None => Ok(()),
        }
    }

    /// Evaluates an expression, awaits its promise, reads its value.
    pub async fn call<T: DeserializeOwned>(&self, expression: &str, limit: Duration) -> Result<T, PageError> {
        let mut call = EvaluateParams::new(expression);
        call.await_promise = Some(true);
        call.return_by_value = Some(true);
        let result = timeout(limit, self.page.execute(call)).await.map_err(|_| PageError::TimedOut)??.result;
        if let Some(exception) = result.exception_details {
            let text = exception.exception.and_then(|one| one.description).unwrap_or(exception.text);
            return Err(PageError::Threw(text.lines().next().unwrap_or_default().chars().take(200).collect()));
        }
        serde_json::from_value(result.result.value.unwrap_or_default()).map_err(|_| PageError::Strange)
    }

    /// [`Self::call`] with the ordinary time-out.
    pub async fn ask<T: DeserializeOwned>(&self, expression: &str) -> Result<T, PageError> {
        self.call(expression, CALL).await
    }

    /// A PNG of the page.
    pub async fn screenshot(&self) -> Result<Vec<u8>, PageError> {
        use base64::Engine as _;
        let shot = CaptureScreenshotParams::builder().format(CaptureScreenshotFormat::Png).build();
        let shot =
            timeout(Duration::from_secs(10), self.page.execute(shot)).await.map_err(|_| PageError::TimedOut)??;
        let text: &str = shot.result.data.as_ref();
        base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| PageError::Strange)
    }
}

impl Drop for PageLink {
    fn drop(&mut self) {
        self.handler.abort();
    }
}

/// Polls the handler until its first real error; dropping it makes all calls that wait fail at once.
async fn drive(mut handler: Handler, tell: watch::Sender<Option<&'static str>>) {
    loop {
        match handler.next().await {
            Some(Ok(()) | Err(CdpError::InvalidMessage(..))) => {}
            Some(Err(error)) => {
                tracing::info!(kind = kind(&error), "the connection to a browser ends");
                break;
            }
            None => break,
        }
    }
    drop(handler);
    tell.send_replace(Some("the connection to the browser broke"));
}

/// What kind of error it is. Its text may carry frames, and those what people write to each other.
fn kind(error: &CdpError) -> &'static str {
    match error {
        CdpError::Ws(_) => "websocket",
        CdpError::Io(_) => "socket",
        CdpError::Serde(_) => "an answer that cannot be read",
        CdpError::Chrome(_) | CdpError::ChromeMessage(_) => "an error of the browser",
        CdpError::NoResponse | CdpError::ChannelSendError(_) => "no answer",
        CdpError::UnexpectedWsMessage(_) => "an unexpected frame",
        _ => "another error",
    }
}

/// A value as JavaScript source.
pub(super) fn js(value: impl serde::Serialize) -> String {
    // JSON is JavaScript but for two line separators that old engines do not take inside texts.
    let text = serde_json::to_string(&value).unwrap_or_else(|_| "null".to_owned());
    text.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}
