// What the page's own tokenizer and draws give (gpt2/server/web/engine), for benchmarks/page_tokenizer.py.
// In: a JSON file {tokenizer, texts, rows, classes, draws}, each part but the first two may be empty; `tokenizer` and
// the logits of the draws are names of files. Out, on standard output: JSON of the same parts.

import { readFileSync } from "node:fs";

import { BytePairs } from "../gpt2/server/web/engine/bpe.js";
import { choose, distribution } from "../gpt2/server/web/engine/draw.js";
import { word } from "../gpt2/server/web/engine/words.js";
import { unpack } from "../gpt2/server/web/wire.js";

const asked = JSON.parse(readFileSync(process.argv[2], "utf8"));
const answer = { unicode: process.versions.unicode };

if (asked.tokenizer) {
    const tokenizer = timed("made", () => new BytePairs(unpack(bufferOf(asked.tokenizer))));
    answer.ids = timed("encoded", () => asked.texts.map((text) => tokenizer.encode(text)));
    answer.back = timed("decoded", () => answer.ids.map((row) => tokenizer.decode(row)));
    answer.texts = asked.rows.map((row) => tokenizer.decode(row));
    answer.words = Array.from({ length: tokenizer.size }, (_, id) => word(tokenizer, id));
}

// In which code points this program's own classes of characters differ from ranges.
answer.classes = Object.entries(asked.classes).map(([pattern, ranges]) => {
    const told = new Set(
        ranges.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i)),
    );
    const own = new RegExp(pattern, "u");
    const [more, fewer] = [[], []];
    for (let code = 0; code < 0x110000; code++) {
        if (code >= 0xd800 && code < 0xe000) continue;
        const here = own.test(String.fromCodePoint(code));
        if (here !== told.has(code)) (here ? more : fewer).push(code);
    }
    return { pattern, more, fewer };
});

answer.draws = asked.draws.map(({ logits, size, texts, settings, shares }) => {
    const all = new Float32Array(bufferOf(logits));
    const rows = texts.map((_, row) => all.subarray(row * size, (row + 1) * size));
    const how = settings.map((one) => ({ ...one, seed: BigInt(one.seed) }));
    return {
        tokens: rows.map((row, i) => choose(row, texts[i], how[i])),
        shares: shares ? rows.map((row, i) => Array.from(distribution(row, texts[i], how[i]))) : [],
    };
});

process.stdout.write(JSON.stringify(answer));

function bufferOf(file) {
    const bytes = readFileSync(file);
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
}

function timed(name, work) {
    const before = process.cpuUsage();
    const result = work();
    const { user, system } = process.cpuUsage(before);
    answer[`${name}_ms`] = (user + system) / 1000;
    return result;
}
