// Opens a live page from disk, asks it questions, and takes the time of what readers do. Chromium has no network then;
// in Firefox every request that is not to the file itself is counted (`foreign`).
// node page_engine.mjs NODE_MODULES chromium|firefox BROWSER PAGE QUESTIONS > JSON { version, times, answers }

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, kind, executablePath, page, questions] = process.argv.slice(2);
const library = pathToFileURL(join(modules, "puppeteer-core/lib/esm/puppeteer/puppeteer-core.js")).href;
const { default: puppeteer } = await import(library);
const browser = await puppeteer.launch({
    browser: kind === "firefox" ? "firefox" : "chrome",
    executablePath,
    headless: true,
    protocolTimeout: 3_600_000,
    args: kind === "firefox" ? [] : ["--no-sandbox"],
});
const tab = await browser.newPage();
const foreign = [];
tab.on("request", (request) => {
    if (!/^(file|data|blob):/.test(request.url())) foreign.push(request.url());
});
if (kind !== "firefox") await tab.setOfflineMode(true);
const failures = [];
tab.on("pageerror", (error) => failures.push(String(error)));

const began = performance.now();
await tab.goto(pathToFileURL(page).href, { waitUntil: "load" });
await tab.waitForSelector("#next button, #next li", { timeout: 120_000 });
const first = performance.now() - began;

/** One question, in the page: its answer as JSON, and its time there. */
const ask = (name, parameters) =>
    tab.evaluate(
        async (asked, given) => {
            const start = performance.now();
            let found;
            try {
                found = { answer: await globalThis.glassbox.ask(asked, given) };
            } catch (error) {
                found = { error: error.message };
            }
            const ms = performance.now() - start;
            const plain = (_, value) => {
                if (!ArrayBuffer.isView(value?.data)) return value;
                return {
                    data: Array.from(value.data, Number),
                    shape: value.shape,
                    whole: value.data instanceof Int32Array,
                };
            };
            return { ms, json: JSON.stringify(found, plain) };
        },
        name,
        parameters,
    );

const words = "Once upon a time there was a little dog who liked to play in the park with his friends . ";
const times = { "first picture": first };
const fresh = await ask("picture", { text: "The dog ran", switches: {} });
times["first live answer, from opening"] = performance.now() - began;
times["first live answer"] = fresh.ms;
for (const [tokens, text] of [
    [5, "The cat sat on the"],
    [60, words.repeat(3)],
    [500, words.repeat(24)],
]) {
    const before = await ask("picture", { text, switches: {} });
    const T = JSON.parse(before.json).answer.ids.length;
    times[`text of ${T} (about ${tokens}) tokens`] = before.ms;
    const taken = [];
    for (const head of [1, 2, 3]) {
        taken.push((await ask("picture", { text, switches: { [`3.head.${head}`]: "off" } })).ms);
    }
    times[`switch at ${T} tokens`] = taken.sort((a, b) => a - b)[1];
    for (const components of T < 100 ? ["parts", "heads", "blocks"] : []) {
        const left = await ask("leave_one_out", { text, switches: {}, components, kind: "zero" });
        times[`leaving out ${components} at ${T} tokens`] = left.ms;
    }
}
const written = { text: "Once upon a time", switches: {}, tokens: 100, temperature: 0.8, top_p: 0.95, seed: 4 };
const writing = await ask("continuation", written);
times["tokens per second"] = (1000 * JSON.parse(writing.json).answer.before.length) / writing.ms;

const answers = [];
for (const [name, parameters] of JSON.parse(readFileSync(questions, "utf-8"))) {
    answers.push(JSON.parse((await ask(name, parameters)).json));
    process.stderr.write(`\r${kind} ${answers.length}`);
}
process.stderr.write("\n");
process.stdout.write(JSON.stringify({ version: await browser.version(), times, foreign, failures, answers }));
await browser.close();
