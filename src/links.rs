//! Links that bodies carry: where clients reach this server from outside.

use crate::config::Http;
use std::sync::OnceLock;
use wardroom_actors::domain::message::Media;

static BASE: OnceLock<String> = OnceLock::new();

/// Where clients reach the server: what the operator set, or else its own address.
fn base(http: &Http) -> String {
    let scheme = if http.tls_chain.as_os_str().is_empty() { "http" } else { "https" };
    match http.public_url.trim_end_matches('/') {
        "" => format!("{scheme}://{}", http.listen.replace("0.0.0.0", "localhost").replace("[::]", "localhost")),
        url => url.to_owned(),
    }
}

/// Says once, at the start, where clients reach the server.
pub fn set_base(http: &Http) {
    let _ = BASE.set(base(http));
}

/// Where somebody who is invited chooses a password. What stands behind `#` is sent to no server.
#[must_use]
pub fn to_invitation(http: &Http, token: &str) -> String {
    format!("{}/#invitation={token}", base(http))
}

/// The file of a message.
#[must_use]
pub fn to_file(message: &str, media: &Media) -> String {
    let base = BASE.get().map(String::as_str).unwrap_or_default();
    format!("{base}/api/files/{}.{}", segment(message), extension(media))
}

/// An id as part of a path: it comes from the network, and could have anything in it.
fn segment(id: &str) -> String {
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'@' | b'-' | b'_' | b'.' | b'~' => text.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// What a file's name ends in: as its sender called it, or as its kind is usually called.
#[must_use]
pub fn extension(media: &Media) -> &str {
    let own = media.filename.as_deref().and_then(|name| name.rsplit_once('.')).map(|(_, end)| end);
    if let Some(own) =
        own.filter(|own| (1..=5).contains(&own.len()) && own.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    {
        return own;
    }
    let kind = media.mimetype.split(';').next().unwrap_or_default().trim();
    KINDS.iter().find(|(known, _)| *known == kind).map_or("bin", |(_, ends)| ends.first().copied().unwrap_or("bin"))
}

/// The kind of a file that is called so.
#[must_use]
pub fn mimetype(name: &str) -> &'static str {
    let end = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let found = KINDS.iter().find(|(_, ends)| ends.contains(&end.as_str()));
    found.map_or("application/octet-stream", |(kind, _)| kind)
}

/// Kinds of files that people send, and how their names end; the usual end first.
const KINDS: &[(&str, &[&str])] = &[
    ("image/jpeg", &["jpg", "jpeg"]),
    ("image/png", &["png"]),
    ("image/webp", &["webp"]),
    ("image/gif", &["gif"]),
    ("video/mp4", &["mp4"]),
    ("video/3gpp", &["3gp"]),
    ("audio/ogg", &["oga", "ogg", "opus"]),
    ("audio/mpeg", &["mp3"]),
    ("audio/mp4", &["m4a"]),
    ("audio/aac", &["aac"]),
    ("application/pdf", &["pdf"]),
    ("application/zip", &["zip"]),
    ("text/plain", &["txt", "log"]),
    ("text/csv", &["csv"]),
    ("text/vcard", &["vcf"]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_link_to_a_file_is_one_part_of_a_path_or_refused(
            id in "([/?#%.@_]|.){0,40}", filename in proptest::option::of("([/.?#]|.){0,20}"), mimetype in "image/png|.{0,20}",
        ) {
            let media = Media { mimetype, filename, size: None };
            let link = to_file(&id, &media);
            let name = link.strip_prefix("/api/files/").unwrap();
            let (read, end) = name.rsplit_once('.').unwrap();
            prop_assert!(!name.contains(['/', '?', '#', ' ']) && name.is_ascii(), "{}", name);
            prop_assert_eq!(percent_encoding::percent_decode_str(read).decode_utf8().unwrap(), id);
            prop_assert!((1..=5).contains(&end.len()), "{}", end);
            prop_assert!(super::mimetype(&link).contains('/'));
        }
    }

    #[test]
    fn an_id_stays_one_part_of_a_path() {
        assert_eq!(segment("true_49170@c.us_3EB0-~x"), "true_49170@c.us_3EB0-~x");
        assert_eq!(segment("../a/b?c#d%\r\né"), "..%2Fa%2Fb%3Fc%23d%25%0D%0A%C3%A9");
    }

    #[test]
    fn a_file_ends_as_its_sender_called_it_or_as_its_kind_is_called() {
        let end = |mimetype: &str, filename: Option<&str>| {
            let media = Media { mimetype: mimetype.into(), filename: filename.map(Into::into), size: None };
            extension(&media).to_owned()
        };
        assert_eq!(end("audio/ogg; codecs=opus", None), "oga");
        assert_eq!(end("application/octet-stream", Some("a.b.docx")), "docx");
        assert_eq!(end("image/png", Some("no/../end.<b>")), "png");
        assert_eq!(end("application/x-strange", Some("README")), "bin");
        assert_eq!((mimetype("a.JPEG"), mimetype("README")), ("image/jpeg", "application/octet-stream"));
    }
}
