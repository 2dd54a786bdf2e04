// llama.cpp as a worker: greedy continuations of rows of ids, through node-llama-cpp.
// In: a JSON object {library, model, threads, flash, mmap} as the argument; then on standard input one question a line,
// {prompts, new, context}, where `context` is the most tokens that a row will have. Out, one line each: first what this
// is, {versions}, then {ids, first, rest}: seconds until every row has its first new token, and for the others.
// All rows take one step together. The package's own interface cannot promise that, so the addon underneath is called.
import {readFileSync} from "node:fs";
import {dirname, join} from "node:path";
import {createInterface} from "node:readline";
import {pathToFileURL} from "node:url";

const CHUNK = 512; // tokens of prompts in one evaluation: llama.cpp's own default
const job = JSON.parse(process.argv[2]);
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

const {getLlama} = await import(pathToFileURL(job.library));
const quiet = {progressLogs: false, logLevel: "error"};
const llama = await getLlama({build: "never", gpu: false, maxThreads: job.threads, ...quiet});
const model = await llama.loadModel({modelPath: job.model, useMmap: job.mmap});
const contexts = new Map();

async function contextFor(rows, size) {
    const key = `${rows} ${size}`;
    if (!contexts.has(key)) {
        const {threads, flash} = job;
        const options = {sequences: rows, contextSize: size, batchSize: CHUNK, threads, flashAttention: flash};
        const {_ctx: addon} = await model.createContext(options);
        if (addon.getThreads() !== threads)
            throw new Error(`llama.cpp uses ${addon.getThreads()} threads, not ${threads}`);
        const samplers = Array.from({length: rows}, () => new llama._bindings.AddonSampler(model._model));
        for (const sampler of samplers)
            sampler.applyConfig({temperature: 0});
        contexts.set(key, {addon, samplers});
    }
    return contexts.get(key);
}

// Evaluates pieces {row, at, ids, last}; the next id of each row whose piece is its last.
async function evaluate({addon, samplers}, pieces, next) {
    addon.initBatch(pieces.reduce((sum, {ids}) => sum + ids.length, 0));
    const places = pieces.map(({row, at, ids, last}) =>
        addon.addToBatch(row, at, Uint32Array.from(ids), Uint32Array.from(last ? [ids.length - 1] : []))[0]);
    await addon.decodeBatch();
    await Promise.all(pieces.map(async ({row, last}, i) => {
        if (last)
            next[row] = await addon.sampleToken(places[i], samplers[row]);
    }));
}

// The prompts cut and grouped so that no evaluation takes more than CHUNK tokens.
function groupsOf(prompts) {
    const groups = [[]];
    let held = 0;
    prompts.forEach((prompt, row) => {
        for (let at = 0; at < prompt.length; at += CHUNK) {
            const ids = prompt.slice(at, at + CHUNK);
            if (held + ids.length > CHUNK) {
                groups.push([]);
                held = 0;
            }
            held += ids.length;
            groups.at(-1).push({row, at, ids, last: at + ids.length === prompt.length});
        }
    });
    return groups;
}

async function answer({prompts, new: count, context}) {
    const held = await contextFor(prompts.length, context);
    prompts.forEach((_, row) => held.addon.disposeSequence(row)); // forgets its keys and values
    const groups = groupsOf(prompts);
    const next = [];
    const start = performance.now();
    for (const group of groups)
        await evaluate(held, group, next);
    const ids = next.map((id) => [id]);
    const first = performance.now();
    for (let step = 1; step < count; step++) {
        const pieces = next.map((id, row) => ({row, at: prompts[row].length + step - 1, ids: [id], last: true}));
        await evaluate(held, pieces, next);
        next.forEach((id, row) => ids[row].push(id));
    }
    return {ids, first: (first - start) / 1000, rest: (performance.now() - first) / 1000};
}

const about = JSON.parse(readFileSync(join(dirname(job.library), "..", "package.json"), "utf8"));
const {llamaCppRelease: release, systemInfo: system} = llama;
say({versions: {"node-llama-cpp": about.version, "llama.cpp": release.release, "llama.cpp uses": system.trim()}});
for await (const line of createInterface({input: process.stdin})) {
    try {
        say(await answer(JSON.parse(line)));
    } catch (error) {
        say({not_run: error.message});
    }
}
process.exit(0);
