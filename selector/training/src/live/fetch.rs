//! Rows from where Gearshift writes them.

use std::path::PathBuf;

use futures_util::TryStreamExt;
use gearshift_perfdb::{Observation, Source};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::{
    Error,
    read::{parse, read},
};

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Fetched {
    /// Rows of source `live`, those of the oldest files first.
    pub rows: Vec<Observation>,
    /// Files they are from.
    pub files: usize,
    /// Older files that were left out: there were rows enough.
    pub left_out: usize,
    /// Files that hold no rows, and why: left out.
    pub unreadable: Vec<String>,
}

/// Reads live rows from a folder, `file://`, `s3://`, `gs://` or `az://`: those of the newest files, until there are `most`.
///
/// # Errors
/// Where the place cannot be read, or no file there can.
pub fn fetch(url: &str, most: usize) -> Result<Fetched, Error> {
    if let Some(path) = local(url).filter(|path| path.is_file()) {
        return Ok(Fetched { rows: read(&path, &[Source::Live])?, files: 1, ..Fetched::default() });
    }
    // The store makes a folder where there is none, which is for those who write.
    if let Some(path) = local(url).filter(|path| !path.is_dir()) {
        return Err(Error::Failed(format!("{}: there is no such folder of rows", path.display())));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::Failed(error.to_string()))?;
    let store = gearshift_perfdb::open(url).map_err(|error| Error::Failed(format!("{url}: {error}")))?;
    runtime.block_on(from_store(&*store, url, most))
}

/// The path of a place on this machine.
fn local(url: &str) -> Option<PathBuf> {
    match url.strip_prefix("file://") {
        Some(path) => Some(path.into()),
        None => (!url.contains("://")).then(|| url.into()),
    }
}

async fn from_store(store: &dyn ObjectStore, url: &str, most: usize) -> Result<Fetched, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Failed(format!("{url}: {error}"));
    let mut files: Vec<ObjectMeta> = store.list(None).try_collect().await.map_err(|error| failed(&error))?;
    files.retain(|file| file.location.as_ref().ends_with(".parquet"));
    files.sort_by(|a, b| (a.last_modified, &a.location).cmp(&(b.last_modified, &b.location)));
    let (mut batches, mut count, mut unreadable) = (Vec::new(), 0, Vec::new());
    while let Some(file) = files.pop() {
        if count >= most {
            files.push(file);
            break;
        }
        let name = file.location.to_string();
        let got = match store.get(&file.location).await {
            Ok(got) => got.bytes().await,
            // A lifecycle rule was faster.
            Err(object_store::Error::NotFound { .. }) => continue,
            Err(error) => Err(error),
        };
        let bytes = got.map_err(|error| failed(&error))?;
        let mut rows = Vec::new();
        // One bad file is no reason to stop learning.
        if let Err(error) = parse(&name, bytes, &[Source::Live], &mut rows) {
            unreadable.push(error.to_string());
            continue;
        }
        count += rows.len();
        batches.push(rows);
    }
    if let (Some(first), true) = (unreadable.first(), batches.is_empty()) {
        return Err(failed(first));
    }
    batches.reverse();
    Ok(Fetched { files: batches.len(), left_out: files.len(), rows: batches.concat(), unreadable })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpListener,
    };

    use gearshift_perfdb::{Writer, open, to_parquet};
    use object_store::{aws::AmazonS3Builder, prefix::PrefixStore};

    use super::*;
    use crate::live::made;

    async fn written(url: &str) {
        let mut writer = Writer::new(open(url).unwrap(), "replica").unwrap();
        for file in 0..3_u32 {
            let rows: Vec<_> =
                made::rows(4, 1).into_iter().map(|row| Observation { repeat: file, ..row }).collect();
            writer.put(to_parquet(&rows).unwrap(), 1_000 + u64::from(file)).await.unwrap();
        }
    }

    #[test]
    fn rows_come_from_a_folder_and_its_url_newest_files_first_where_there_are_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(written(&path));
        for url in [path.clone(), format!("file://{path}")] {
            let all = fetch(&url, 1_000).unwrap();
            assert_eq!((all.rows.len(), all.files, all.left_out), (12, 3, 0));
            let some = fetch(&url, 5).unwrap();
            assert_eq!((some.rows.len(), some.left_out), (8, 1));
            assert_eq!(some.rows[0].repeat, 1, "the oldest file is left out");
        }
        std::fs::write(folder.path().join("bad.parquet"), "no rows").unwrap();
        let all = fetch(&path, 1_000).unwrap();
        assert_eq!((all.rows.len(), all.unreadable.len()), (12, 1), "a bad file is left out, and said");
        let nowhere = folder.path().join("nowhere");
        fetch(&nowhere.display().to_string(), 9).unwrap_err();
        assert!(!nowhere.exists());
    }

    /// What speaks S3 as far as files are listed, a page each, and read: the later one first.
    fn bucket(listener: &TcpListener, files: &[(&str, Vec<u8>); 2]) {
        loop {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert!(stream.read_line(&mut head).unwrap() > 0, "{head}");
            }
            let asked = head.split_whitespace().nth(1).unwrap();
            let body = if asked.contains("list-type=2") {
                assert!(asked.starts_with("/rows?") && asked.contains("prefix=eu"), "{asked}");
                let second = asked.contains("continuation-token=next");
                let (key, more) = (
                    files[usize::from(second)].0,
                    if second { "" } else { "<NextContinuationToken>next</NextContinuationToken>" },
                );
                let day = if second { 1 } else { 2 };
                format!(
                    "<ListBucketResult><IsTruncated>{}</IsTruncated>{more}<Contents><Key>{key}</Key><Size>1</Size>\
                     <LastModified>2026-11-0{day}T00:00:00.000Z</LastModified><ETag>x</ETag></Contents></ListBucketResult>",
                    !second
                )
                .into_bytes()
            } else {
                files
                    .iter()
                    .find(|(key, _)| asked == format!("/rows/{key}"))
                    .map(|(_, body)| body.clone())
                    .unwrap()
            };
            let head = "HTTP/1.1 200 OK\r\netag: x\r\nlast-modified: Sun, 01 Nov 2026 00:00:00 GMT\r\nconnection: close";
            let mut answer = format!("{head}\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
            answer.extend(body);
            stream.get_mut().write_all(&answer).unwrap();
        }
    }

    #[test]
    fn rows_come_from_a_bucket_all_pages_of_its_list() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let rows = |seed, count| -> Vec<u8> { to_parquet(&made::rows(count, seed)).unwrap().into() };
        let (newer, older) = (rows(2, 7), rows(1, 4));
        // It listens for as long as the test runs.
        std::thread::spawn(move || bucket(&listener, &[("eu/b.parquet", newer), ("eu/a.parquet", older)]));
        // Opening one by its URL, which knows no other endpoint here, sets up what the HTTP client needs.
        open("s3://rows/eu").unwrap();
        let store = AmazonS3Builder::new()
            .with_endpoint(endpoint)
            .with_allow_http(true)
            .with_region("here")
            .with_bucket_name("rows")
            .with_access_key_id("reader")
            .with_secret_access_key("secret")
            .build()
            .unwrap();
        let store = PrefixStore::new(store, "eu");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let read = |most| runtime.block_on(from_store(&store, "s3://rows/eu", most)).unwrap();
        let all = read(1_000);
        assert_eq!((all.rows.len(), all.files, all.left_out), (11, 2, 0));
        let some = read(5);
        assert_eq!((some.rows.len(), some.files, some.left_out), (7, 1, 1), "the newest file alone");
    }
}
