// Answers of the page's engine, for tests and benchmarks: node live_page.mjs PARTS WEIGHTS < questions > answers.
// In: the two parts of a live page as files; JSON [[name, parameters], ...]. Out: JSON [{ answer } or { error }, ...],
// in which an array of numbers is {"data": [...], "shape": [...], "whole": true or false}.

import { readFileSync } from "node:fs";

import { ANSWERS } from "../../gpt2/server/web/engine/answers.js";
import { openEngine } from "../../gpt2/server/web/engine/engine.js";

/** @param {string} path */
function bytes(path) {
    const read = readFileSync(path);
    return read.buffer.slice(read.byteOffset, read.byteOffset + read.length);
}

const session = await openEngine(bytes(process.argv[2]), bytes(process.argv[3]));
const found = [];
for (const [name, parameters] of JSON.parse(readFileSync(0, "utf-8"))) {
    try {
        found.push({ answer: await ANSWERS[name](session, parameters, () => {}) });
    } catch (error) {
        found.push({ error: error.message });
    }
}
const plain = (_, value) => {
    if (!ArrayBuffer.isView(value?.data)) return value;
    return { data: Array.from(value.data, Number), shape: value.shape, whole: value.data instanceof Int32Array };
};
process.stdout.write(JSON.stringify(found, plain));
