// "Copy as Python" of all that is shown: a script that gives the page's numbers again, for its text, its row, its
// switches and its chosen detail, by what gpt2 and gpt2.explain offer.
// In: run.js and state.js. Out: Python. Read next: recipe_views.js, the lines of each detail.

import { readable } from "../components.js";
import { editsOf } from "../copy.js";
import { modelNow, rowNow, scene } from "../run.js";
import { state, write } from "../state.js";
import { linesOf } from "./recipe_views.js";

const EDITS = ["freeze", "mean", "scale", "zero"];
const FROM_EXPLAIN = "gpt2.explain";
const quoted = (/** @type {string} */ text) => JSON.stringify(text);

// The whole script; while an older run stands in view, it is of that run.
export function recipe() {
  const { text, switches } = scene();
  const edits = editsOf(switches);
  const { names, lines } = linesOf(state.view);
  const needsMeans = edits.includes("(ref)") || lines.some((line) => /\bref\b/.test(line));
  const wanted = new Set(["trace", ...names, ...EDITS.filter((edit) => new RegExp(`: ${edit}\\b`).test(edits))]);
  if (needsMeans) wanted.add("reference");
  return [
    ...heading(),
    ...imports([...wanted, "gpt2.inference.sampling choose", "gpt2.inference.sampling distribution"]),
    "",
    `checkpoint = gpt2.load(${quoted(modelNow().name)}${kindOfNumbers()})`,
    `text = ${quoted(text)}`,
    `row = ${rowNow()}`,
    needsMeans ? "ref = reference(checkpoint)  # a mean is taken over these stories" : null,
    edits ? `edit = ${edits}` : "edit = {}  # everything is on",
    "run = trace(checkpoint, text, edit=edit)",
    "before = trace(checkpoint, text)  # with everything on",
    "",
    ...nextTokens(),
    "",
    ...selected(),
    ...lines,
    "",
  ]
    .filter((line) => line !== null)
    .join("\n");
}

function heading() {
  const { name, weights, version } = modelNow();
  return [
    `# What the page shows, in Python: glassbox-gpt2 ${version}, ${name.replaceAll(/\s/g, " ")}`,
    `# SHA-256 of the weights: ${weights}`,
    `# State of the page: ${write({ ...state, ...scene() })}`,
  ];
}

function kindOfNumbers() {
  const { dtype } = modelNow();
  return dtype === "float32" ? "" : `, dtype=${quoted(dtype)}`;
}

/**
 * One line for each module. A name without a module is gpt2.explain's own.
 * @param {string[]} wanted
 */
function imports(wanted) {
  /** @type {Map<string, Set<string>>} */
  const from = new Map();
  for (const one of wanted) {
    const [module, name] = one.includes(" ") ? one.split(" ") : [FROM_EXPLAIN, one];
    from.set(module, (from.get(module) ?? new Set()).add(name));
  }
  const lines = [...from].sort().map(([module, names]) => `from ${module} import ${[...names].sort().join(", ")}`);
  return ["import gpt2", ...lines];
}

// The next tokens with the share that each is drawn with, and the loss on the text.
function nextTokens() {
  const { temperature, top_k, top_p, seed } = state;
  const rules = [
    "max_tokens=1",
    `temperature=${temperature}`,
    `top_k=${top_k || "None"}`,
    `top_p=${top_p}`,
    `seed=${seed}`,
  ];
  return [
    "logits = run.logits[0].float()  # T, V",
    "p = logits[row].softmax(-1)",
    "p_before = before.logits[0, row].float().softmax(-1)",
    `sampling = gpt2.Sampling(${rules.join(", ")})`,
    "prefix = run.ids[0, : row + 1].tolist()",
    "drawn = distribution(logits[row : row + 1], [prefix], sampling)[0]",
    "(token,) = choose(logits[row : row + 1], [prefix], [0], sampling)  # what a step writes",
    "for i in p.maximum(p_before).topk(min(10, len(p))).indices.tolist():",
    '    print(f"{run.label(i):12} {p[i]:8.3%} {100 * (p[i] - p_before[i]):+8.3f} points, drawn {drawn[i]:.3%}")',
    "losses = -logits[:-1].log_softmax(-1).gather(1, run.ids[0, 1:, None])[:, 0]  # of the text's own next tokens",
    'print(f"loss {losses.mean():.4f} nats per token; a step writes {run.label(token)}")',
  ];
}

// The value of the component that is selected.
function selected() {
  const address = readable(state.at);
  if (address === "logits" || address.endsWith(".block")) return [];
  return [
    `value = run.read(${quoted(address)})[${quoted(address)}]`,
    `print(${quoted(address)}, tuple(value.shape))`,
    "",
  ];
}
