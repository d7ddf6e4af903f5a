//! A peer: PostgreSQL, a row per sample, indexed by series and time. Written by COPY in binary, its fastest way, one of them
//! for each time that is made durable; read by a prepared statement, in binary too. Spoken to in its own protocol (version
//! 3.0, "Frontend/Backend Protocol" in its manual), so that no driver's cost is taken for the database's.

use std::{
    io::{BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use uatwin::{
    sample::{Sample, SeriesId, Value},
    time::Timestamp,
};

use super::{
    historian::Historian,
    postgres_cluster::{Cluster, USER},
};

const COPY: &str = "COPY history FROM STDIN (FORMAT BINARY)";
const SELECT: &str = "SELECT t, v, status, server FROM history WHERE series = $1 AND t >= $2 ORDER BY t LIMIT $3";
/// Ahead of all rows: signature, no flags, no extension.
const COPY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// OIDs of int4 and int8.
const INT4: i32 = 23;
const INT8: i32 = 20;

pub(crate) struct Postgres {
    stream: BufReader<UnixStream>,
    is_copying: bool,
    rows: Vec<u8>,
    /// Ends after the connection.
    _cluster: Cluster,
}

impl Postgres {
    pub(crate) fn open(cluster: Cluster) -> Self {
        let stream = BufReader::with_capacity(1 << 16, cluster.connect());
        let mut postgres = Self { stream, is_copying: false, rows: Vec::new(), _cluster: cluster };
        let mut startup = 196_608_i32.to_be_bytes().to_vec();
        startup.extend(format!("user\0{USER}\0database\0postgres\0\0").bytes());
        let length = (startup.len() + 4) as i32;
        postgres.write(&[length.to_be_bytes().as_slice(), &startup].concat());
        postgres.until_ready();
        postgres.run("CREATE TABLE history (series int4, t int8, v float8, status int4, server int8)");
        postgres.run("CREATE INDEX ON history (series, t)");
        let mut parse = format!("read\0{SELECT}\0").into_bytes();
        parse.extend(3_i16.to_be_bytes());
        parse.extend([INT4, INT8, INT8].into_iter().flat_map(i32::to_be_bytes));
        postgres.send(b'P', &parse);
        postgres.send(b'S', &[]);
        postgres.until_ready();
        postgres
    }

    /// What it does by itself when nothing comes in.
    pub(crate) fn settle(&mut self) {
        self.run("VACUUM ANALYZE history");
        self.run("CHECKPOINT");
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the database listens");
    }

    fn send(&mut self, kind: u8, body: &[u8]) {
        let length = (body.len() + 4) as i32;
        self.write(&[&[kind], length.to_be_bytes().as_slice(), body].concat());
    }

    fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).expect("an answer");
        let [kind, length @ ..] = head;
        let mut body = vec![0; i32::from_be_bytes(length) as usize - 4];
        self.stream.read_exact(&mut body).expect("a whole answer");
        assert_ne!(kind, b'E', "{}", String::from_utf8_lossy(&body));
        (kind, body)
    }

    /// Rows up to the end of an answer.
    fn until_ready(&mut self) -> Vec<Vec<u8>> {
        let mut rows = Vec::new();
        loop {
            match self.receive() {
                (b'D', row) => rows.push(row),
                (b'Z', _) => return rows,
                _ => {}
            }
        }
    }

    fn run(&mut self, sql: &str) -> Vec<Vec<u8>> {
        self.send(b'Q', format!("{sql}\0").as_bytes());
        self.until_ready()
    }
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Double(x) => *x,
        Value::Boolean(x) => f64::from(u8::from(*x)),
        Value::UInt16(x) => (*x).into(),
        Value::UInt32(x) => (*x).into(),
        Value::Int32(x) => (*x).into(),
        other => unreachable!("no load has a {other:?}"),
    }
}

/// A value with its length before it.
fn field(row: &mut Vec<u8>, bytes: &[u8]) {
    row.extend((bytes.len() as i32).to_be_bytes());
    row.extend(bytes);
}

/// The fields of a DataRow: none of ours is null.
fn fields(row: &[u8]) -> [&[u8]; 4] {
    let mut rest = &row[2..];
    std::array::from_fn(|_| {
        let (length, after) = rest.split_first_chunk().expect("a length");
        let (field, after) = after.split_at(i32::from_be_bytes(*length) as usize);
        rest = after;
        field
    })
}

impl Historian for Postgres {
    fn append(&mut self, batch: &[(SeriesId, Sample)]) {
        if !self.is_copying {
            self.send(b'Q', format!("{COPY}\0").as_bytes());
            assert_eq!(self.receive().0, b'G', "it takes rows");
            self.send(b'd', COPY_HEAD);
            self.is_copying = true;
        }
        let mut rows = std::mem::take(&mut self.rows);
        rows.clear();
        for (series, sample) in batch {
            rows.extend(5_i16.to_be_bytes());
            field(&mut rows, &series.0.to_be_bytes());
            field(&mut rows, &sample.source_timestamp.ticks().to_be_bytes());
            field(&mut rows, &number(&sample.value).to_be_bytes());
            field(&mut rows, &sample.status.bits().to_be_bytes());
            field(&mut rows, &sample.server_timestamp.ticks().to_be_bytes());
        }
        self.send(b'd', &rows);
        self.rows = rows;
    }

    fn flush(&mut self) {
        if self.is_copying {
            self.send(b'd', &(-1_i16).to_be_bytes());
            self.send(b'c', &[]);
            self.until_ready(); // committed, and the log synced
            self.is_copying = false;
        }
    }

    fn read(&mut self, series: u32, from: Timestamp, limit: usize) -> usize {
        let mut bind = b"\0read\0".to_vec();
        bind.extend([1_i16, 1, 3].into_iter().flat_map(i16::to_be_bytes)); // all parameters in binary; three
        field(&mut bind, &series.to_be_bytes());
        field(&mut bind, &from.ticks().to_be_bytes());
        field(&mut bind, &i64::try_from(limit).unwrap_or(i64::MAX).to_be_bytes());
        bind.extend([1_i16, 1].into_iter().flat_map(i16::to_be_bytes)); // all columns in binary
        let execute = [0, 0, 0, 0, 0]; // the unnamed portal, all rows
        let length = |body: &[u8]| ((body.len() + 4) as i32).to_be_bytes();
        let request =
            [b"B", length(&bind).as_slice(), &bind, b"E", &length(&execute), &execute, b"S", &length(&[])].concat();
        self.write(&request);
        let found: Vec<(i64, f64, u32, i64)> = self.until_ready().iter().map(|row| sample(row)).collect();
        found.len()
    }

    fn bytes(&mut self, _: &Path) -> f64 {
        let told = self.run("SELECT pg_total_relation_size('history')"); // without its log, which may keep gigabytes
        let text = told.first().and_then(|row| std::str::from_utf8(&row[6..]).ok());
        text.and_then(|text| text.parse().ok()).expect("a number")
    }
}

fn sample(row: &[u8]) -> (i64, f64, u32, i64) {
    let [t, v, status, server] = fields(row);
    let eight = |bytes: &[u8]| bytes.try_into().expect("eight bytes");
    (
        i64::from_be_bytes(eight(t)),
        f64::from_be_bytes(eight(v)),
        u32::from_be_bytes(status.try_into().expect("four bytes")),
        i64::from_be_bytes(eight(server)),
    )
}
