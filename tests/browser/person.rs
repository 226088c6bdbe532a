//! A person in front of the dashboard: a real browser, as wide as it is wanted, in the dark where that is wanted.

use chromiumoxide::browser::{Browser, BrowserConfig};
use chromiumoxide::cdp::browser_protocol::emulation::{
    MediaFeature, SetDeviceMetricsOverrideParams, SetEmulatedMediaParams,
};
use chromiumoxide::page::ScreenshotParams;
use chromiumoxide::{Element, Page};
use futures_util::StreamExt;
use std::path::PathBuf;
use tempfile::TempDir;
use wardroom_load::house::{SOON, root, until};

/// This machine by a name, as if it were another.
pub const ELSEWHERE: &str = "wardroom.example";

/// A person's browser. It sees loopback pages of this test only, so it may do without its sandbox.
pub struct Person {
    pub page: Page,
    browser: Browser,
    _profile: TempDir,
}

impl Person {
    pub async fn at(url: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let program = ["/usr/lib/chromium/chromium-headless-shell", "/usr/lib/chromium/chromium", "/usr/bin/chromium"];
        let program = program.iter().map(PathBuf::from).find(|path| path.exists()).unwrap();
        let config = BrowserConfig::builder()
            .chrome_executable(program)
            .no_sandbox()
            .user_data_dir(profile.path())
            .args(["disable-gpu", "disable-quic", "disable-background-networking", "disable-component-update"])
            // Nobody vouches for the certificates of tests.
            .arg("ignore-certificate-errors")
            .arg(("host-resolver-rules", format!("MAP {ELSEWHERE} 127.0.0.1").as_str()))
            .build()
            .unwrap();
        let (browser, mut handler) = Browser::launch(config).await.unwrap();
        tokio::spawn(async move { while let Some(Ok(()) | Err(_)) = handler.next().await {} });
        let page = browser.new_page(url).await.unwrap();
        Self { page, browser, _profile: profile }
    }

    /// What a person can see: much stands in the page before it is shown.
    pub async fn find(&self, selector: &str) -> Element {
        until(&format!("{selector} is there"), SOON, || async {
            let element = self.page.find_element(selector).await.ok()?;
            let seen = element.call_js_fn("function () { return this.checkVisibility(); }", false).await.ok()?;
            (seen.result.value == Some(true.into())).then_some(element)
        })
        .await
    }

    pub async fn fill(&self, selector: &str, text: &str) {
        self.find(selector).await.click().await.unwrap().type_str(text).await.unwrap();
    }

    pub async fn press(&self, selector: &str, key: &str) {
        self.find(selector).await.press_key(key).await.unwrap();
    }

    pub async fn sees(&self, script: &str) {
        until(script, SOON, || async {
            let seen = self.page.evaluate(script).await.ok()?;
            seen.into_value::<bool>().ok()?.then_some(())
        })
        .await;
    }

    pub async fn says(&self, selector: &str, text: &str) {
        let text = serde_json::to_string(text).unwrap();
        self.sees(&format!("!!document.querySelector('{selector}')?.textContent.includes({text})")).await;
    }

    pub async fn look(&self, width: i64, dark: bool) {
        let size = SetDeviceMetricsOverrideParams::new(width, 900, 1.0, width < 500);
        self.page.execute(size).await.unwrap();
        let scheme = MediaFeature::new("prefers-color-scheme", if dark { "dark" } else { "light" });
        let media = SetEmulatedMediaParams::builder().feature(scheme).build();
        self.page.execute(media).await.unwrap();
    }

    /// A picture for people, kept with what a run leaves behind: `target/pictures`.
    pub async fn picture(&self, name: &str) {
        let dir = root().join("target/pictures");
        std::fs::create_dir_all(&dir).unwrap();
        let png = self.page.screenshot(ScreenshotParams::builder().build()).await.unwrap();
        std::fs::write(dir.join(format!("{name}.png")), png).unwrap();
    }

    pub async fn fits(&self) {
        // A narrow page that overflows is zoomed out, and `innerWidth` grows with it.
        self.sees("document.documentElement.scrollWidth <= screen.width").await;
    }

    pub async fn leave(mut self) {
        self.browser.close().await.unwrap();
        self.browser.wait().await.unwrap();
    }
}
