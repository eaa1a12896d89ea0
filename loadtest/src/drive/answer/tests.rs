//! Answers whole, in pieces, and wrong.

use super::*;

/// What is told of an answer: status, whether the connection is at its end, whether it says when to ask again, and the body.
type Told = (u16, bool, bool, Vec<u8>);

fn told(answer: Answer<'_>) -> Told {
    (answer.status, answer.closes, answer.has_retry_after, answer.body.to_vec())
}

fn take(reader: &mut Reader, piece: &[u8]) -> Result<Option<Told>, Unreadable> {
    reader.take(piece).map(|answer| answer.map(told))
}

/// Answers whose end is in them.
const WHOLE: [(&str, u16, bool, bool, &str); 12] = [
    ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", 200, false, false, "{}"),
    ("HTTP/1.1 200\r\nContent-Length:2\r\n\r\n{}", 200, false, false, "{}"),
    ("HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n", 503, false, true, ""),
    ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx", 200, true, false, "x"),
    ("HTTP/1.1 200 OK\r\nconnection: upgrade, Close\r\ncontent-length: 1\r\n\r\nx", 200, true, false, "x"),
    ("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", 200, true, false, "x"),
    ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\ncontent-length: 1\r\n\r\nx", 200, false, false, "x"),
    ("HTTP/1.1 204 No Content\r\n\r\n", 204, false, false, ""),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n",
        200,
        false,
        false,
        "abc0123456789",
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\ncontent-length: 9\r\n\r\n2\r\n\r\n\r\n0\r\nx: y\r\n\r\n",
        200,
        false,
        false,
        "\r\n",
    ),
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 422 No\r\ncontent-length: 1\r\n\r\n-",
        422,
        false,
        false,
        "-",
    ),
    ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx", 200, false, false, "x"),
];

#[test]
fn answer_is_told_once_all_of_it_is_there() {
    for (text, status, closes, has_retry_after, body) in WHOLE {
        let expected = (status, closes, has_retry_after, body.as_bytes().to_vec());
        assert_eq!(take(&mut Reader::default(), text.as_bytes()), Ok(Some(expected)), "{text}");
        for length in 0..text.len() {
            let begin = &text.as_bytes()[..length];
            assert_eq!(take(&mut Reader::default(), begin), Ok(None), "{length} bytes of {text}");
        }
    }
}

#[test]
fn pieces_of_any_size_make_the_same_answer_and_the_reader_is_used_again() {
    let mut reader = Reader::default();
    for (text, status, closes, has_retry_after, body) in WHOLE {
        for size in [1, 2, 3, 7, 40] {
            let mut answers = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                answers.extend(take(&mut reader, piece).expect("it is an answer"));
            }
            reader.clear();
            assert_eq!(answers, [(status, closes, has_retry_after, body.as_bytes().to_vec())], "by {size}: {text}");
        }
    }
}

#[test]
fn body_without_a_length_lasts_until_the_connection_is_closed() {
    let mut reader = Reader::default();
    for piece in ["HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n", "some", " words"] {
        assert_eq!(take(&mut reader, piece.as_bytes()), Ok(None));
    }
    assert_eq!(reader.close().map(told), Some((200, true, false, b"some words".to_vec())));
    for text in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"] {
        let mut reader = Reader::default();
        assert_eq!(take(&mut reader, text.as_bytes()), Ok(None));
        assert_eq!(reader.close(), None, "{text}");
    }
}

#[test]
fn what_nobody_asked_for_behind_an_answer_ends_the_connection() {
    let text = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1 408 Request Timeout\r\n\r\n";
    assert_eq!(take(&mut Reader::default(), text.as_bytes()), Ok(Some((200, true, false, b"x".to_vec()))));
}

#[test]
fn what_is_no_answer_is_unreadable() {
    let heads = [
        "hello\r\n\r\n",
        "\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabcd\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\nffffffffffffffff\r\n",
    ];
    for text in heads {
        assert_eq!(take(&mut Reader::default(), text.as_bytes()), Err(Unreadable), "{text}");
    }
}

#[test]
fn heads_bodies_and_lines_before_chunks_are_bounded() {
    let endless = [
        ("HTTP/1.1 200 OK\r\nx: ", HEAD_MAX),
        ("HTTP/1.1 200 OK\r\n\r\n", BODY_MAX),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", CHUNK_LINE_MAX),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ", HEAD_MAX),
    ];
    let piece = vec![b'a'; 64 << 10];
    for (begin, most) in endless {
        let mut reader = Reader::default();
        assert_eq!(take(&mut reader, begin.as_bytes()), Ok(None));
        let taken = (0..).take_while(|_| take(&mut reader, &piece) == Ok(None)).count();
        assert!(taken * piece.len() <= most, "{begin}: {taken} pieces");
    }
}

#[test]
fn interim_answers_and_what_stands_beside_chunks_are_bounded() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("1;{}\r\na\r\n", "x".repeat(1000));
    for (begin, again, most) in [("", "HTTP/1.1 100 Continue\r\n\r\n", HEAD_MAX), (head, &chunk, RAW_MAX)] {
        let (mut reader, piece) = (Reader::default(), again.repeat(1000));
        assert!(begin.is_empty() || take(&mut reader, begin.as_bytes()) == Ok(None));
        let taken = (0..).take_while(|_| take(&mut reader, piece.as_bytes()) == Ok(None)).count();
        assert!(taken * piece.len() <= most, "{again}: {taken} pieces");
    }
}
