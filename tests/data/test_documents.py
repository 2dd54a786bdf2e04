"""Files of text and their documents: exact splitting, every kind of file, directories, bad input."""

import csv
import gzip
import json
import random
import re

import pytest

from gpt2.base.errors import UsageError
from gpt2.base.notes import Note
from gpt2.cli.main import main
from gpt2.data import documents as documents_module
from gpt2.data.documents import documents, pieces
from gpt2.data.files import AGAIN, LOOP, sources, zstd
from gpt2.data.records import all_records
from gpt2.text.tokenizer import EOT, Tokenizer

SEP = f"\n{EOT}\n"
TEXTS = ["One fox.\n\nTwo crows.\n", "  naïve 🙂 text ", "\n", "a <|endoftext|> inside a line", "last\r\n"]


@pytest.fixture
def stories(tmp_path):
    """A .txt.gz file with every document followed by the separator."""
    path = tmp_path / "stories.txt.gz"
    path.write_bytes(gzip.compress("".join(text + SEP for text in TEXTS).encode()))
    return path


def split(tmp_path, text, name="file.txt"):
    path = tmp_path / name
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return list(documents(path))


def test_documents_are_unchanged(stories):
    assert list(documents(stories)) == TEXTS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one document\n", ["one document\n"]),
        (f"a{SEP}b", ["a", "b"]),
        (f"a{SEP}b\n", ["a", "b\n"]),
        (f"a\n{EOT}", ["a"]),
        (f"{EOT}\na{SEP}{EOT}\n{SEP}b{SEP}", ["a", "b"]),
        (f"a{SEP}\n{EOT}\n", ["a"]),
        (f"a\n {EOT}\nb", [f"a\n {EOT}\nb"]),
        (f"a\r\n{EOT}\r\nb\r\n", ["a", "b\r\n"]),
        (f"a\r\n{EOT}\nb", ["a\r", "b"]),
        ("\ufeffa", ["a"]),
        (f"a\u2028{EOT}\u2028b", [f"a\u2028{EOT}\u2028b"]),
    ],
)
def test_separators(tmp_path, text, expected):
    assert split(tmp_path, text) == expected
    assert split(tmp_path, text, "file.txt.gz") == expected


@pytest.mark.parametrize("size", [20, 21, 33, 64])
def test_pieces_change_nothing(tmp_path, monkeypatch, size):
    # Separators and words stand on every side of a piece's border.
    monkeypatch.setattr(documents_module, "PIECE_BYTES", size)
    rng = random.Random(size)
    words = ["a", "bb", "🙂", " ", "  ", "\n", "\u3000", "\u00a0", EOT, SEP, "long" * 9, "\r\n", "'s", "12"]
    tokenizer = Tokenizer.train(["a bb 's  12 long long bb bb a 12\n\n a a\n\n  \n"] * 3, 280)
    cuts = 0
    for _ in range(200):
        text = "".join(rng.choice(words) for _ in range(rng.randint(1, 60)))
        path = tmp_path / "file.txt"
        path.write_bytes(text.encode())
        parts = re.split(rf"(?:\A|(?<=\n)){re.escape(EOT)}(\r\n|\n|\Z)", text)  # text, line end, text, ...
        whole = [parts[-1]]
        for body, end in zip(parts[-3::-2], parts[-2::-2], strict=True):
            whole.insert(0, body.removesuffix("\r\n" if end == "\r\n" and body.endswith("\r\n") else "\n"))
        found = list(pieces(path))
        joined, ids = [""], [[]]
        for piece, ends in found:
            joined[-1] += piece
            ids[-1] += tokenizer.encode(piece)
            if ends:
                joined.append("")
                ids.append([])
        assert joined.pop() == ""
        assert joined == [document for document in whole if document]
        assert ids[:-1] == [tokenizer.encode(document) for document in joined]
        cuts += len(found) - len(joined)
    assert cuts > 100


def test_a_piece_that_ends_where_the_document_does(tmp_path, monkeypatch):
    # The document's text is all handed out when its separator comes: its end must still be told.
    monkeypatch.setattr(documents_module, "PIECE_BYTES", 20)
    assert split(tmp_path, f"{'w' * 25}{SEP}b") == ["w" * 25, "b"]


def test_json_lines(tmp_path):
    path = tmp_path / "file.jsonl"
    rows = [{"text": "one\n"}, {"text": f"a{SEP}b", "title": "t"}, {"text": ""}]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    assert list(documents(path)) == ["one\n", f"a{SEP}b"]
    with pytest.raises(ValueError, match=r"file.jsonl, line 1, has no text in a field 'title' \(it has text\)"):
        list(documents(path, field="title"))
    path.write_text('{"text": "a"}\n{"text": 3}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="line 2, has the number 3 in 'text': write a text there, between"):
        list(documents(path))
    for wrong in (b"{\n", b"[1]\n", b'"text"\n', b'{"text": "\xff"}\n'):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"file\.jsonl, line 1, "):
            list(documents(path))


@pytest.mark.parametrize("before", ["ä" * 10, f"ä\n{EOT}\n" * 2, f"ä{SEP}" + "word " * 300_000])
def test_not_utf8_names_file_and_byte(tmp_path, before):
    with pytest.raises(ValueError, match=rf"file.txt is not UTF-8 \(byte {len(before.encode()) + 1} of its text\)"):
        split(tmp_path, before.encode() + b"x\xffy\n")
    with pytest.raises(ValueError, match=rf"\(byte {len(before.encode())} of"):
        split(tmp_path, before.encode() + "🙂".encode()[:3])


def test_files_that_are_refused(tmp_path, stories):
    for name, pattern in {"none.txt": "does not exist", "": "is a directory", "a.pdf": "unknown kind"}.items():
        (tmp_path / "a.pdf").touch()
        with pytest.raises(ValueError, match=pattern):
            list(documents(tmp_path / name))
    for empty in ("", SEP, f"{EOT}\n{EOT}"):
        with pytest.raises(ValueError, match="holds no document"):
            split(tmp_path, empty)
    data = stories.read_bytes()
    for broken in (data[:-10], data[:20] + b"\x00\x00\x00" + data[23:]):
        stories.write_bytes(broken)
        with pytest.raises(ValueError, match=r"stories.txt.gz is a damaged .gz file"):
            list(documents(stories))


def packed(data: bytes, name: str) -> bytes:
    return {"gz": gzip.compress, "zst": zstd().compress}.get(name.rpartition(".")[2], bytes)(data)


@pytest.mark.parametrize("kind", ["txt", "txt.gz", "txt.zst", "jsonl", "jsonl.gz", "jsonl.zst", "parquet"])
def test_every_kind_of_file_gives_the_same_documents(tmp_path, kind):
    path = tmp_path / f"file.{kind}"
    if kind == "parquet":
        write_parquet(path, text=TEXTS)
    elif kind.startswith("txt"):
        path.write_bytes(packed("".join(text + SEP for text in TEXTS).encode(), kind))
    else:
        path.write_bytes(packed("".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode(), kind))
    told = []
    assert [text for text, _ in pieces(path, progress=told.append)] == TEXTS
    assert list(documents(path)) == TEXTS
    assert told[-1] == path.stat().st_size


def write_parquet(path, row_group_size=2, **columns):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(columns), path, row_group_size=row_group_size)


@pytest.mark.parametrize("kind", ["gz", "zst"])
@pytest.mark.parametrize("data", ["Once.\n\tThe end é\n".encode(), "Pl\xe4ne\r\n".encode("latin-1")])
def test_a_text_that_is_called_compressed_is_told_apart_from_a_damaged_file(tmp_path, kind, data):
    path = tmp_path / f"file.txt.{kind}"
    path.write_bytes(data)
    with pytest.raises(ValueError) as error:
        list(documents(path))
    assert str(error.value) == f"{path} is not compressed: take the ending .{kind} off its name."


def test_several_frames_are_one_text(tmp_path):
    # `cat a.zst b.zst` and parallel compressors make them; a reader that stops at the first would lose text.
    for kind in ("gz", "zst"):
        path = tmp_path / f"file.txt.{kind}"
        path.write_bytes(b"".join(packed(part, kind) for part in (b"one ", b"two", f"{SEP}three".encode())))
        assert list(documents(path)) == ["one two", "three"]


def test_a_damaged_zst_file_is_named(tmp_path):
    path = tmp_path / "file.txt.zst"
    data = packed(b"some text that is long enough to be cut" * 20, "zst")
    for broken in (data[:-3], b"\0no zstandard", data + b"junk"):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"file.txt.zst is a damaged .zst file .*: fetch it again"):
            list(documents(path))


def test_a_byte_order_mark_is_no_text(tmp_path):
    mark = b"\xef\xbb\xbf"
    for name, data in {
        "a.txt": b"text",
        "a.txt.gz": b"text",
        "a.jsonl": b'{"text": "text"}\n{"text": "\xef\xbb\xbfb"}',
    }.items():
        path = tmp_path / name
        path.write_bytes(packed(mark + data, name))
        assert next(documents(path)) == "text"
    assert list(documents(tmp_path / "a.jsonl"))[1] == "\ufeffb"  # inside a document it is text
    (tmp_path / "a.txt").write_bytes(mark + b"abc\xff")
    with pytest.raises(ValueError, match="byte 6 of its text"):
        list(documents(tmp_path / "a.txt"))


def test_nothing_in_a_field_is_no_document(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": null}\n{"text": ""}\n{"text": "one"}\n')
    assert list(documents(tmp_path / "a.jsonl")) == ["one"]
    write_parquet(tmp_path / "a.parquet", text=[None, "", "one"])
    assert list(documents(tmp_path / "a.parquet")) == ["one"]


def test_parquet_columns(tmp_path):
    import pyarrow

    path = tmp_path / "a.parquet"
    words = pyarrow.array(["x", "y", "x"])
    write_parquet(path, body=words.cast(pyarrow.large_string()), kind=words.dictionary_encode(), score=[1, 2, 3])
    assert list(documents(path, "body")) == list(documents(path, "kind")) == ["x", "y", "x"]
    for field, pattern in {
        "text": r"has no column 'text' \(it has body, kind, score\): name the one that holds the text with field\.$",
        "score": "holds int64 in column 'score', no text",
    }.items():
        with pytest.raises(ValueError, match=pattern):
            list(documents(path, field))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"a.parquet is a damaged .parquet file"):
        list(documents(path))


@pytest.mark.parametrize("name", ["a.txt.zst", "a.parquet"])
def test_a_missing_library_is_named(tmp_path, monkeypatch, name):
    import sys

    for module in ("compression", "compression.zstd", "backports", "backports.zstd", "pyarrow"):
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / name).write_bytes(b"...")
    with pytest.raises(UsageError, match=r"needs one more library: pip install 'glassbox-gpt2\[data\]'"):
        list(documents(tmp_path / name))


def test_a_directory_stands_for_the_texts_in_it(tmp_path):
    for name in ("b.txt", "a/z.jsonl", "a/b/c.txt.gz", "a.txt", "notes.doc", ".hidden/d.txt", "a/.e.txt", "set/f.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    (tmp_path / "set" / "manifest.json").touch()  # a prepared data set: its merges.txt is no text
    with pytest.warns(
        Note, match=r"left out 2 hidden files and folders .*1 prepared data set \(set\), 1 file of another"
    ):
        found, left_out = sources([tmp_path / "b.txt", tmp_path])
    assert [source.name for source in found] == ["b.txt", "a.txt", "a/b/c.txt.gz", "a/z.jsonl", "b.txt"]
    assert all(source.path.is_file() for source in found)
    names = [".hidden", "a/.e.txt", "set", "notes.doc"]
    assert sorted(one.path for one in left_out) == sorted(tmp_path / name for name in names)
    with pytest.raises(
        ValueError, match=r"set is a prepared data set, which holds tokens: give the text that it was made of\."
    ):
        sources([tmp_path / "set"])


def test_eval_reads_the_same_files(tmp_path, capsys):
    (tmp_path / "a.txt.zst").write_bytes(packed(b"Once upon a time.", "zst"))
    assert main(["eval", str(tmp_path / "a.txt.zst"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == 17


def test_endings_in_capitals(tmp_path):
    """BOOK.TXT of another system is a text like book.txt."""
    (tmp_path / "BOOK.TXT").write_text("one")
    (tmp_path / "MORE.Jsonl").write_text('{"text": "two"}\n{"text": "three"}\n')
    with gzip.open(tmp_path / "packed.TXT.Gz", "wt") as file:
        file.write("four")
    (tmp_path / "other.DOC").write_text("no text")
    with pytest.warns(Note, match="other.DOC"):
        found, left_out = sources([tmp_path])
    assert [text for source in found for text in documents(source.path)] == ["one", "two", "three", "four"]
    assert [one.path.name for one in left_out] == ["other.DOC"]


def test_other_kinds_of_rows_give_the_same_documents(tmp_path):
    texts = ['one, "two"\nthree', "é 🙂", "[1]"]
    rows = [{"title": "t", "body": text} for text in [*texts[:2], "", texts[2]]]
    (tmp_path / "a.json").write_text("\ufeff" + json.dumps(rows, indent=1), encoding="utf-8")
    (tmp_path / "a.ndjson").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with gzip.open(tmp_path / "A.JSON.gz", "wt") as file:
        json.dump(rows, file)
    with open(tmp_path / "a.csv", "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, ["title", "body"])
        writer.writeheader()
        writer.writerows(rows)
    for name in ("a.json", "a.ndjson", "A.JSON.gz", "a.csv"):
        assert list(documents(tmp_path / name, field="body")) == texts, name
    (tmp_path / "one.json").write_text('{"text": "alone"}\n')
    (tmp_path / "a.md").write_text(f"# one{SEP}two")
    assert [*documents(tmp_path / "one.json"), *documents(tmp_path / "a.md")] == ["alone", "# one", "two"]


@pytest.mark.parametrize("piece", [1, 2, 7, 1 << 20])
def test_a_list_of_json_is_read_in_pieces(tmp_path, monkeypatch, piece):
    monkeypatch.setattr("gpt2.data.records.PIECE_BYTES", piece)
    items = [{"text": "é] [" * 9}, [1, [2]], 12345, "a,b", None, True, 1.5e3]
    path = tmp_path / "a.json"
    path.write_text(" [" + " ,\n".join(map(json.dumps, items)) + " ]\n ", encoding="utf-8")
    assert [value for _, value in all_records(path)] == items
    assert [where for where, _ in all_records(path)][2] == f"{path}, line 3,"
    for text in ("12", '"a"', '{"a": [1]}', "[]", " "):
        path.write_text(text)
        whole = json.loads(text) if text.strip() else []
        assert [value for _, value in all_records(path)] == (whole if isinstance(whole, list) else [whole])


REFUSED_ROWS = {
    ("a.json", b'[{"text": "a"} {"text": "b"}]'): "line 1, is not JSON: a comma is missing",
    ("a.json", b'[{"text": "a"},\n{"text": "b"'): "line 2, is not JSON",
    ("a.json", b'[{"text": "a"}'): "is not JSON: the list has no end",
    ("a.json", b'{"text": "a"}\n{"text": "b"}'): "line 2, is not JSON: more stands after",
    ("a.json", b'["a"]'): "line 1, is a text: write an object",
    ("a.json", b'[{"text": null},\n{"text": ["a"]}]'): "line 2, has a list in 'text'",
    ("a.json", b'{"text": "\xff"}'): r"is not UTF-8 \(byte 10\)",
    ("a.csv", b"text,b\none\n"): "line 2, has 1 columns, and the first line names 2",
    ("a.csv", b'text,b\n"one\n'): "line 2, is not CSV",
    ("a.csv", b"a,a\n"): "names a column twice",
    ("a.csv", b"text\n\xff\n"): "is not UTF-8",
    ("a.csv", b"title\none\n"): r"line 2, has no text in a field 'text' \(it has title\): name the one",
    ("c.jsonl", b'{"text": 7, "b": 1}'): "has the number 7 in 'text', where a text belongs: name the one",
    ("a.jsonl", b'{"text": false}'): "line 1, has false in 'text': write a text there, between quotes",
    ("a.csv", b"id;text\n1;Hello, you\n"): "names one column, 'id;text': columns are separated by commas here",
    ("b.csv", b"id\ttext\n1\tHi\n"): "separated by commas here, not by tabs, so save the table again with commas",
}


@pytest.mark.parametrize("name, content", REFUSED_ROWS)
def test_rows_that_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=REFUSED_ROWS[name, content]) as said:
        list(documents(tmp_path / name))
    assert str(tmp_path / name) in str(said.value)


def test_linked_folders_are_read_once_and_loops_are_said(tmp_path):
    for name in ("books/a.txt", "books/deep/b.txt", "elsewhere/c.txt", "elsewhere/more/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(name)
    books = tmp_path / "books"
    links = {"0first": tmp_path / "elsewhere", "deep/back": books, "second": tmp_path / "elsewhere", "up": tmp_path}
    for name, target in links.items():
        (books / name).symlink_to(target)
    (tmp_path / "elsewhere" / "more" / "round").symlink_to(books / "deep")
    with pytest.warns(Note, match="left out 2 links to a folder that is read already .*, 2 links that lead back"):
        found, left_out = sources([books])
    assert [source.name for source in found] == ["0first/c.txt", "0first/more/d.txt", "a.txt", "deep/b.txt"]
    said = {one.path.relative_to(books).as_posix(): one.what for one in left_out}
    assert said == {"deep/back": LOOP, "up": LOOP, "second": AGAIN, "0first/more/round": AGAIN}


INLINE = f"a{EOT}b\n{EOT}\nc{EOT}\nd {EOT}{EOT} e\r\n{EOT}\r\nf{EOT}"
PARTS = ["a", "b", "c", "d ", " e", "f"]


@pytest.mark.parametrize("piece", [1, 5, 1 << 20])
def test_split_inline_ends_a_document_wherever_the_token_stands(tmp_path, monkeypatch, piece):
    monkeypatch.setattr("gpt2.data.documents.PIECE_BYTES", piece)
    (tmp_path / "a.txt").write_text(INLINE, newline="")
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": INLINE}) + "\n" + json.dumps({"text": "g"}))
    assert list(documents(tmp_path / "a.txt", split_inline=True)) == PARTS
    assert list(documents(tmp_path / "a.jsonl", split_inline=True)) == [*PARTS, "g"]
    assert list(documents(tmp_path / "a.jsonl")) == [INLINE, "g"]


@pytest.mark.parametrize(
    ("row", "mend"),
    [
        ({"input": "a", "output": "b"}, 'rename "input" to "prompt" and "output" to "completion"'),
        ({"question": "a", "answer": "b"}, 'rename "question" to "prompt" and "answer" to "completion"'),
        ({"conversations": [{"from": "human", "value": "a"}]}, 'for gpt2 finetune, write {"messages": '),
    ],
)
def test_rows_that_others_train_on_are_told_how_to_be_written(tmp_path, row, mend):
    """With --field the half that nobody wants to learn was learned."""
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(ValueError, match=re.escape(mend)):
        list(documents(path))
