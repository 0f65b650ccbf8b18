//! Where files go: a directory, or a bucket.

use std::{path::Path, sync::Arc, time::Duration};

use object_store::{
    ObjectStore, ObjectStoreScheme, RetryConfig, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder,
    gcp::GoogleCloudStorageBuilder, local::LocalFileSystem, prefix::PrefixStore,
};
use url::Url;

use crate::Error;

/// One call of a bucket is tried again so often, for so long. Who writes rows has a longer patience of its own.
const RETRIES: usize = 2;
const RETRY_FOR: Duration = Duration::from_secs(20);

/// Opens the store at `url`: a directory (made where it is missing), `file:///directory`, `memory:///`, or a bucket:
/// `s3://bucket/prefix` (any that speaks S3), `gs://bucket/prefix`, `az://container/prefix`. Nothing is asked of a bucket yet.
///
/// Credentials of buckets come from the environment, under the names of each cloud's own tools: `AWS_ACCESS_KEY_ID`,
/// `AWS_REGION`, `AWS_ENDPOINT_URL`, …, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME`, …; without these, from
/// the machine's role.
///
/// # Errors
/// Where it is none of these, the directory cannot be made, or the environment lacks what a bucket needs.
pub fn open(url: &str) -> Result<Arc<dyn ObjectStore>, Error> {
    let refused = |problem: String| Error::Url { url: url.to_owned(), problem };
    if !url.contains("://") {
        return directory(Path::new(url)).map_err(|error| refused(error.to_string()));
    }
    let parsed = Url::parse(url).map_err(|error| refused(error.to_string()))?;
    if parsed.scheme() == "file" {
        let path = parsed.to_file_path().map_err(|()| refused("names another host".into()))?;
        return directory(&path).map_err(|error| refused(error.to_string()));
    }
    bucket(&parsed, std::env::vars()).map_err(|error| refused(error.to_string()))
}

fn directory(path: &Path) -> Result<Arc<dyn ObjectStore>, Box<dyn std::error::Error>> {
    std::fs::create_dir_all(path)?;
    Ok(Arc::new(LocalFileSystem::new_with_prefix(path)?))
}

fn bucket(
    url: &Url,
    environment: impl Iterator<Item = (String, String)>,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let (scheme, prefix) = ObjectStoreScheme::parse(url)?;
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_FOR, ..RetryConfig::default() };
    // The HTTP client takes the process's; another one that is there already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let text = url.as_str();
    let store: Box<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::AmazonS3 => Box::new(s3(environment).with_url(text).with_retry(retry).build()?),
        ObjectStoreScheme::GoogleCloudStorage => {
            Box::new(GoogleCloudStorageBuilder::from_env().with_url(text).with_retry(retry).build()?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            Box::new(MicrosoftAzureBuilder::from_env().with_url(text).with_retry(retry).build()?)
        }
        // Memory, and what is not built in, which it refuses by name.
        ObjectStoreScheme::Memory | ObjectStoreScheme::Local | ObjectStoreScheme::Http | _ => {
            object_store::parse_url(url)?.0
        }
    };
    Ok(Arc::new(PrefixStore::new(store, prefix)))
}

/// As `AmazonS3Builder::from_env`, of any environment.
fn s3(environment: impl Iterator<Item = (String, String)>) -> AmazonS3Builder {
    environment.filter(|(name, _)| name.starts_with("AWS_")).fold(
        AmazonS3Builder::new(),
        |builder, (name, value)| {
            match name.to_ascii_lowercase().parse() {
                Ok(key) => builder.with_config(key, value),
                // Of other tools.
                Err(_) => builder,
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::{Writer, example, to_parquet};

    /// One request: its first line, its headers in lower case, and its body.
    async fn heard(stream: &mut BufReader<TcpStream>) -> (String, String, Vec<u8>) {
        let (mut first, mut headers) = (String::new(), String::new());
        stream.read_line(&mut first).await.unwrap();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            if line.trim().is_empty() {
                break;
            }
            headers += &line.to_ascii_lowercase();
        }
        let length = headers.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        let mut body = vec![0; length.trim().parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        (first, headers, body)
    }

    async fn say(stream: &mut BufReader<TcpStream>, answer: &str, body: &[u8]) {
        let answer =
            format!("HTTP/1.1 {answer}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.get_mut().write_all(&[answer.as_bytes(), body].concat()).await.unwrap();
    }

    /// Puts a file where these are the answers, `ECHO` with what was put; its name, and what was asked.
    async fn put(answers: &[&str]) -> (String, Vec<(String, String, Vec<u8>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let environment = [
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT_URL", &endpoint),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_PROFILE_OF_ANOTHER_TOOL", "x"),
            ("PATH", "/bin"),
        ];
        let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let store = bucket(&Url::parse("s3://rows/eu/1").unwrap(), environment).unwrap();
        let mut writer = Writer::new(store, "a").unwrap();
        let file = to_parquet(&example::rows()).unwrap();
        let serving = async {
            let mut seen = Vec::new();
            for answer in answers {
                let mut stream = BufReader::new(listener.accept().await.unwrap().0);
                seen.push(heard(&mut stream).await);
                let (body, answer) = match answer.strip_prefix("ECHO ") {
                    Some(answer) => (&file[..], answer),
                    None => (&[][..], *answer),
                };
                say(&mut stream, answer, body).await;
            }
            seen
        };
        let (path, seen) = tokio::join!(writer.put(file.clone(), 1_780_000_000_123), serving);
        for (_, headers, body) in seen.iter().filter(|(first, ..)| first.starts_with("PUT ")) {
            assert!(
                headers.contains("if-none-match: *") && headers.contains("aws4-hmac-sha256"),
                "{headers}"
            );
            assert!(*body == file);
        }
        (path.unwrap().to_string(), seen)
    }

    fn asked(seen: &[(String, String, Vec<u8>)]) -> Vec<String> {
        let line = |first: &str| first.rsplit_once(' ').unwrap().0.replace("/rows/eu/1/a-1780000000123-", "");
        seen.iter().map(|(first, ..)| line(first)).collect()
    }

    /// What speaks S3 as far as a file is put: signed, only where none of the name is there, and tried again.
    #[tokio::test]
    async fn a_bucket_gets_whole_files_and_never_overwrites() {
        let answers = ["500 Busy", "412 Precondition Failed", "403 Forbidden", "200 OK\r\netag: \"1\""];
        let (name, seen) = put(&answers).await;
        assert_eq!(name, "a-1780000000123-000001.parquet");
        let wanted = ["PUT 000000", "PUT 000000", "GET 000000", "PUT 000001"];
        assert_eq!(asked(&seen), wanted.map(|it| format!("{it}.parquet")), "what is there may be another's");
    }

    #[tokio::test]
    async fn what_a_bucket_took_and_did_not_say_is_not_written_again() {
        let found = "ECHO 200 OK\r\netag: \"1\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT";
        let (name, seen) = put(&["500 Busy", "412 Precondition Failed", found]).await;
        assert_eq!(name, "a-1780000000123-000000.parquet");
        let wanted = ["PUT 000000", "PUT 000000", "GET 000000"];
        assert_eq!(asked(&seen), wanted.map(|it| format!("{it}.parquet")));
    }

    #[test]
    fn stores_are_directories_and_urls() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("with space");
        let url = Url::from_file_path(&path).unwrap();
        assert!(url.as_str().contains("%20"));
        open(url.as_str()).unwrap();
        assert!(path.is_dir());
        open("memory:///").unwrap();
        open("s3://bucket/rows").unwrap();
        open("gs://bucket/rows").unwrap();
        let refused = open("http://example.com/rows").unwrap_err().to_string();
        assert!(refused.starts_with("http://example.com/rows: "), "{refused}");
        open("nothing://x").unwrap_err();
        open("file://elsewhere/rows").unwrap_err();
    }
}
