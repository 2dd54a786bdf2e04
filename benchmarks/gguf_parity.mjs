// llama.cpp's ids of texts and its logits at every position of rows of ids, through node-llama-cpp.
// In: a JSON file {library, model, texts, rows, threads, logits, answer}. Out: ids and texts in the file `answer`,
// and the logits, as 32-bit floats, position after position, in the file `logits`. benchmarks/gguf_parity.py asks and compares.
import {readFileSync, writeFileSync} from "node:fs";
import {pathToFileURL} from "node:url";

const asked = JSON.parse(readFileSync(process.argv[2], "utf8"));
const {getLlama} = await import(pathToFileURL(asked.library));
const llama = await getLlama({build: "never", gpu: false, progressLogs: false, logLevel: "error"});
const model = await llama.loadModel({modelPath: asked.model});
const ids = asked.texts.map((text) => [...model.tokenize(text, false)]);
const back = ids.map((row) => model.detokenize(row, true));
const found = [];
for (const row of asked.rows) {
    const context = await model.createContext({contextSize: row.length + 8, threads: asked.threads});
    const options = {temperature: 1, topK: 0, topP: 1, minP: 0};
    const input = row.map((id) => [id, {generateNext: {logits: true, options}}]);
    for (const {next} of await context.getSequence().controlledEvaluate(input)) {
        const logits = new Float32Array(next.logits.size);
        for (const [id, value] of next.logits)
            logits[id] = value;
        found.push(Buffer.from(logits.buffer));
    }
    await context.dispose();
}
writeFileSync(asked.logits, Buffer.concat(found));
const said = {ids, back, system: llama.systemInfo, release: llama.llamaCppRelease};
writeFileSync(asked.answer, JSON.stringify(said));
process.exit(0);
