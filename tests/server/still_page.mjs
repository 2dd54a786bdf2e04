// Answers of a still page, read by the page's own script. In: a file's data, unpacked, by name; answers' names on
// standard input. Out: the answers as JSON.

import { readFileSync } from "node:fs";

import { answerOf } from "../../gpt2/server/web/columns.js";

const bytes = readFileSync(process.argv[2]);
const length = bytes.readUInt32LE(0);
const header = JSON.parse(bytes.subarray(4, 4 + length).toString("utf8"));
const tail = Uint8Array.from(bytes.subarray(4 + length)).buffer;
const plain = (_, value) => (ArrayBuffer.isView(value) ? Array.from(value, (x) => (isFinite(x) ? x : null)) : value);
const found = JSON.parse(readFileSync(0, "utf8")).map((name) => answerOf({ ...header, bytes: tail }, name));
process.stdout.write(JSON.stringify(found, plain));
