//! Whoever is signed in, on the dashboard: their password, their second factor, and where else they are signed in.

use crate::person::Person;
use reqwest::header::{COOKIE, SET_COOKIE};
use serde_json::json;
use totp_rs::Totp;
use wardroom_load::house::{House, KEY, PASSWORD, SOON, until};

const COLD: (&str, &str) = ("WARDROOM__POOL__WARM_SPARES", "0");

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// What the dashboard says of this key; the cookie, where it lets them in.
async fn sign_in_with(house: &House, key: &str) -> Result<String, String> {
    let url = format!("http://127.0.0.1:{}/dashboard/sign-in", house.http);
    let answer = reqwest::Client::new().post(url).json(&json!({"key": key})).send().await.unwrap();
    let cookie = answer.headers().get(SET_COOKIE).map(|cookie| cookie.to_str().unwrap().to_owned());
    match cookie {
        Some(cookie) => Ok(cookie.split(';').next().unwrap().to_owned()),
        None => Err(answer.json::<serde_json::Value>().await.unwrap()["message"].to_string()),
    }
}

async fn text(person: &Person, id: &str) -> String {
    let text = person.page.evaluate(format!("document.getElementById('{id}').textContent")).await.unwrap();
    text.into_value().unwrap()
}

async fn enter(person: &Person, email: &str, password: &str) {
    person.fill("#email", email).await;
    person.fill("#password", password).await;
    person.press("#password", "Enter").await;
}

/// Sets a second factor up; answers the codes on paper.
async fn set_up(person: &Person) -> (Totp, Vec<String>) {
    person.find("#factor-offer").await.click().await.unwrap();
    person.sees("document.getElementById('factor-qr').naturalWidth > 100").await;
    let secret = text(person, "factor-secret").await;
    let secret = totp_rs::Secret::try_from_base32(&secret).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).with_account_name("x".to_owned()).build().unwrap();
    person.fill("#factor-password", PASSWORD).await;
    person.fill("#factor-code", &totp.generate(now()).to_string()).await;
    person.press("#factor-code", "Enter").await;
    person.sees("document.querySelectorAll('#paper-codes li').length === 10").await;
    person.find("#paper").await;
    let papers = "[...document.querySelectorAll('#paper-codes li')].map((one) => one.textContent)";
    (totp, person.page.evaluate(papers).await.unwrap().into_value().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_changes_how_they_get_in() {
    let house = House::with(&[COLD], &[]).await;
    house.person("anna", "admin").await;
    let key =
        house.run(&["keys", "create", "--tenant", "default", "--user", "anna"]).lines().last().unwrap().to_owned();
    let cookie = sign_in_with(&house, &key).await.unwrap();
    let (token, _) = house.sign_in("anna").await;
    let anna = Person::at(&format!("http://127.0.0.1:{}/", house.http)).await;
    anna.look(1200, false).await;
    enter(&anna, "anna@example.com", PASSWORD).await;
    anna.find("[data-view=you]").await.click().await.unwrap();
    anna.says("#you-who", "anna · anna@example.com · admin · in default").await;
    anna.says("#stays", "a program").await;
    anna.picture("you").await;
    let (totp, papers) = set_up(&anna).await;
    anna.picture("you-paper").await;
    anna.look(360, true).await;
    anna.fits().await;
    anna.picture("you-narrow-dark").await;
    anna.look(1200, false).await;
    // Whoever else had got in as her has left, by key too; and a key opens no way around it.
    anna.sees("document.querySelectorAll('#stays li').length === 1").await;
    assert_eq!(house.ask_as(&token, "GET", "/api/sessions", None).await.refused(401), "unauthorized");
    let url = format!("http://127.0.0.1:{}/api/sessions", house.http);
    assert_eq!(reqwest::Client::new().get(&url).header(COOKIE, cookie).send().await.unwrap().status(), 401);
    assert!(sign_in_with(&house, &key).await.unwrap_err().contains("has a second factor"));
    house.ask_as(&key, "GET", "/api/sessions", None).await.ok();

    let another = "a lamp beside the harbour wall";
    for (current, code, says) in [("wrong", &papers[0], "is wrong"), (PASSWORD, &papers[0], "It is changed")] {
        anna.fill("#password-current", current).await;
        anna.fill("#password-new", another).await;
        anna.fill("#password-code", code).await;
        anna.press("#password-code", "Enter").await;
        anna.says("#you", says).await;
        anna.page.evaluate("document.getElementById('password-form').reset()").await.unwrap();
    }
    anna.find("[data-view=people]").await.click().await.unwrap();
    // What stands below the list moves when it is drawn.
    anna.says("#people-list", "anna@example.com").await;
    anna.find("#done-view summary").await.click().await.unwrap();
    anna.says("#done", "POST /api/auth/password").await;
    anna.says("#done", "anna").await;
    anna.picture("done").await;
    anna.find("[data-view=you]").await.click().await.unwrap();
    anna.sees("document.getElementById('paper').hidden && !document.getElementById('paper-codes').children.length")
        .await;
    anna.find("#everywhere").await.click().await.unwrap();
    anna.find("#sure button[value=yes]").await.click().await.unwrap();
    anna.find("#email").await;
    enter(&anna, "anna@example.com", another).await;
    anna.find("#code").await;
    anna.fill("#code", &totp.generate(now() + 30).to_string()).await;
    anna.press("#code", "Enter").await;
    anna.find("[data-view=you]").await.click().await.unwrap();
    anna.fill("#remove-password", another).await;
    anna.fill("#remove-code", &papers[1]).await;
    anna.press("#remove-code", "Enter").await;
    anna.find("#sure button[value=yes]").await.click().await.unwrap();
    anna.find("#factor-offer").await;
    sign_in_with(&house, &key).await.unwrap();
    anna.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_that_is_demanded_is_set_up_first() {
    let house = House::with(&[COLD, ("WARDROOM__GUARD__SECOND_FACTOR_OF", "admins")], &[]).await;
    assert!(sign_in_with(&house, KEY).await.unwrap_err().contains("second factor is needed"));
    house.person("anna", "admin").await;
    house.person("ben", "viewer").await;
    let (ben, _) = house.sign_in("ben").await;
    house.ask_as(&ben, "GET", "/api/sessions", None).await.ok();
    // Whoever becomes one of those while the dashboard is open is told so there.
    let url = format!("http://127.0.0.1:{}/", house.http);
    let person = Person::at(&url).await;
    enter(&person, "ben@example.com", PASSWORD).await;
    person.sees("!document.getElementById('house').hidden").await;
    let people = house.get("/api/users").await;
    let id = people.as_array().unwrap().iter().find(|one| one["name"] == "ben").unwrap()["id"].as_str().unwrap();
    house.ask("PUT", &format!("/api/users/{id}"), Some(json!({"role": "admin"}))).await.ok();
    person.says("#you-demand", "Set one up").await;
    person.find("#you-demand").await;
    set_up(&person).await;
    person.sees("document.querySelector('[data-view=people]').checkVisibility()").await;
    person.leave().await;

    let (token, _) = house.sign_in("anna").await;
    for (method, path) in [("GET", "/api/sessions"), ("POST", "/api/auth/ticket"), ("GET", "/api/users")] {
        assert_eq!(house.ask_as(&token, method, path, None).await.refused(403), "second_factor_required", "{path}");
    }
    house.ask_as(&token, "GET", "/api/auth/me", None).await.ok();
    let anna = Person::at(&url).await;
    anna.look(360, false).await;
    enter(&anna, "anna@example.com", PASSWORD).await;
    anna.says("#you-demand", "Set one up").await;
    anna.find("#you-demand").await;
    anna.sees("!document.querySelector('[data-view=people]').checkVisibility()").await;
    anna.fits().await;
    anna.picture("you-demand-narrow").await;
    set_up(&anna).await;
    anna.find("[data-view=people]").await.click().await.unwrap();
    anna.says("#people-list", "ben").await;
    until("the socket is open", SOON, || async {
        let hidden = anna.page.evaluate("document.getElementById('line').hidden").await.ok()?;
        hidden.into_value::<bool>().ok()?.then_some(())
    })
    .await;
    anna.leave().await;
}
