//! A stand-in for an S3-compatible store: one bucket in memory, as much of the protocol as files need.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The key that may use it.
pub const ACCESS_KEY: &str = "bucket-access-key";

#[derive(Default)]
struct Kept {
    objects: BTreeMap<String, Vec<u8>>,
    uploads: HashMap<String, BTreeMap<u32, Vec<u8>>>,
    /// Objects that came in parts.
    in_parts: usize,
}

/// The bucket, named `files`; it ends when it is dropped.
pub struct Bucket {
    pub port: u16,
    kept: Arc<Mutex<Kept>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Bucket {
    pub async fn open() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let kept = Arc::<Mutex<Kept>>::default();
        let keeps = Arc::clone(&kept);
        let serving = tokio::spawn(async move {
            let mut guests = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                guests.spawn(serve(stream, Arc::clone(&keeps)));
                while guests.try_join_next().is_some() {}
            }
        });
        Self { port, kept, serving }
    }

    /// Names and contents of all objects.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.kept.lock().unwrap().objects.clone()
    }

    /// Objects that came in parts so far.
    pub fn in_parts(&self) -> usize {
        self.kept.lock().unwrap().in_parts
    }
}

struct Request {
    method: String,
    /// Behind `/files/`.
    key: String,
    query: HashMap<String, String>,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

async fn serve(stream: TcpStream, kept: Arc<Mutex<Kept>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut headers, mut first, mut line) = (HashMap::new(), String::new(), String::new());
        stream.read_line(&mut first).await.ok().filter(|read| *read > 0)?;
        loop {
            line.clear();
            stream.read_line(&mut line).await.ok()?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let mut body = vec![0; headers.get("content-length").map_or(Some(0), |length| length.parse().ok())?];
        stream.read_exact(&mut body).await.ok()?;
        let (method, rest) = first.split_once(' ')?;
        let url = reqwest::Url::parse("http://bucket").unwrap().join(rest.split(' ').next()?).ok()?;
        let request = Request {
            method: method.to_owned(),
            key: url.path().strip_prefix("/files")?.trim_start_matches('/').to_owned(),
            query: url.query_pairs().into_owned().collect(),
            headers,
            body,
        };
        let head = request.method == "HEAD";
        let (status, more, body) = answer(request, &mut kept.lock().unwrap());
        let length = body.len();
        let start = format!(
            "HTTP/1.1 {status} said\r\ncontent-length: {length}\r\netag: \"x\"\r\n\
             last-modified: Sat, 21 Nov 2026 00:00:00 GMT\r\n{more}\r\n"
        );
        stream.get_mut().write_all(start.as_bytes()).await.ok()?;
        if !head {
            stream.get_mut().write_all(&body).await.ok()?;
        }
    }
}

fn answer(request: Request, kept: &mut Kept) -> (u16, String, Vec<u8>) {
    let Request { method, key, query, headers, body } = request;
    let signed = headers.get("authorization").is_some_and(|header| {
        header.starts_with(&format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/")) && header.contains("Signature=")
    });
    let plain = |status, text: String| (status, String::new(), text.into_bytes());
    if !signed {
        return plain(403, "<Error><Code>AccessDenied</Code></Error>".into());
    }
    let upload = query.get("uploadId").cloned();
    match (method.as_str(), upload) {
        ("POST", None) if query.contains_key("uploads") => {
            let id = format!("upload{}", kept.uploads.len());
            kept.uploads.insert(id.clone(), BTreeMap::new());
            plain(
                200,
                format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"),
            )
        }
        ("PUT", Some(id)) => {
            let part = query["partNumber"].parse().unwrap();
            kept.uploads.entry(id).or_default().insert(part, body);
            plain(200, String::new())
        }
        ("POST", Some(id)) => {
            let parts = kept.uploads.insert(id, BTreeMap::new()).unwrap_or_default();
            kept.objects.insert(key, parts.into_values().flatten().collect());
            kept.in_parts += 1;
            let done = "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>";
            plain(200, done.into())
        }
        ("DELETE", Some(_)) => plain(204, String::new()),
        ("POST", None) if query.contains_key("delete") => {
            let text = String::from_utf8(body).unwrap();
            let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
            let gone: String = keys
                .map(|key| {
                    kept.objects.remove(key);
                    format!("<Deleted><Key>{key}</Key></Deleted>")
                })
                .collect();
            plain(200, format!("<DeleteResult>{gone}</DeleteResult>"))
        }
        ("DELETE", None) => {
            kept.objects.remove(&key);
            plain(204, String::new())
        }
        ("PUT", None) => {
            kept.objects.insert(key, body);
            plain(200, String::new())
        }
        ("GET", None) if query.contains_key("list-type") => {
            let prefix = query.get("prefix").map(String::as_str).unwrap_or_default();
            let found = kept.objects.iter().filter(|(key, _)| key.starts_with(prefix));
            let found: String = found
                .map(|(key, bytes)| {
                    let size = bytes.len();
                    format!(
                        "<Contents><Key>{key}</Key><Size>{size}</Size><ETag>x</ETag>\
                         <LastModified>2026-11-21T00:00:00.000Z</LastModified></Contents>"
                    )
                })
                .collect();
            plain(200, format!("<ListBucketResult>{found}</ListBucketResult>"))
        }
        (_, _) => {
            let Some(bytes) = kept.objects.get(&key) else {
                return plain(404, "<Error><Code>NoSuchKey</Code></Error>".into());
            };
            let range = headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
            let Some((first, last)) = range else { return (200, String::new(), bytes.clone()) };
            let (first, size) = (first.parse::<usize>().unwrap(), bytes.len());
            let end = last.parse::<usize>().map_or(size, |last| (last + 1).min(size));
            let more = format!("content-range: bytes {first}-{}/{size}\r\n", end - 1);
            (206, more, bytes[first..end].to_vec())
        }
    }
}
