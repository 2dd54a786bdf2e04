// The lines of Python that give the numbers of one detail of the page.
// In: run.js and state.js. Out: for each detail the names it needs (a module before a name that is not gpt2.explain's
// own) and its lines, which go on from those of recipe.js: checkpoint, text, row, edit, run, before.

import { parts } from "../components.js";
import { chosenHead } from "../details/attention.js";
import { divided } from "../details/attribution.js";
import { placeNow } from "../details/maths.js";
import { chosenNeuron } from "../details/neurons.js";
import { measuredNow } from "../details/importance.js";
import { partsShown } from "../details/why.js";
import { LENS_ROWS, modelNow, pictureNow, rowNow, scene } from "../run.js";
import { state } from "../state.js";

/** @typedef {{ names: string[], lines: string[] }} Lines */

const ATTENTION = "gpt2.explain.see.attention attention";
const quoted = (/** @type {string} */ text) => JSON.stringify(text);
const word = (/** @type {string} */ shown) => quoted(shown.replaceAll("·", " "));

/**
 * @param {string} view
 * @returns {Lines}
 */
export function linesOf(view) {
  return (VIEWS[view] ?? nothing)();
}

/** @returns {Lines} */
const nothing = () => ({ names: [], lines: [] });

// What attribution is asked: the target, and against what.
function question() {
  const target = state.target ? word(state.target) : "None";
  const foil = state.foil === "mean" ? '"mean"' : state.foil ? word(state.foil) : "None";
  return `run, ${target}, ${foil}, at=row`;
}

const pointsOfStream = () =>
  `points = ["embed.out", *(f"{l}.resid_{p}" for l in range(${modelNow().n_layer}) for p in ("mid", "post"))]`;

/** @type {Record<string, string>} */
const SETS = { parts: '("*.attn", "*.mlp", "embed.pos")', heads: '("*.head.*",)', blocks: '("*.block",)' };

/**
 * What is missed without each component, on the text or on others, where it has been measured.
 * @param {{ text: string, components: string, kind: string } | null} asked
 * @returns {Lines}
 */
export function missedLines(asked) {
  if (!asked) return nothing();
  const components = `components = ${SETS[asked.components]}`;
  if (asked.text === "this") {
    const replacement = asked.kind === "mean" ? "mean(ref)" : "zero";
    return {
      names: ["leave_one_out", asked.kind],
      lines: [components, `missed = leave_one_out(run, ${replacement}, components, at=row)`, "print(missed)"],
    };
  }
  return {
    names: ["excerpt", "off"],
    lines: [
      components,
      `missed = off(checkpoint, components, "${asked.kind}", excerpt(checkpoint, ref), ref)`,
      "print(missed)",
    ],
  };
}

/** @type {Record<string, () => Lines>} */
const VIEWS = {
  maths() {
    const { address, head, row, index } = placeNow();
    const at = row < 0 ? "row" : String(row);
    const of = head === null ? "" : `, head=${head}`;
    return {
      names: ["calculation"],
      lines: [
        `one = calculation(run, ${quoted(address)}, row=${at}, index=${index}${of})`,
        "print(one.kind, one.value, one.computed, one.numbers)",
        "print(one.terms(8))",
      ],
    };
  },
  why() {
    const kinds = '("embedding", "head", "mlp", "attention")';
    return {
      names: ["attribution", ATTENTION],
      lines: [
        `found = attribution(${question()})`,
        "print(found.question, found.whole, found.error)",
        "parts = [(n, float(v)) for n, k, v in zip(found.names, found.kinds, found.values) " + `if k in ${kinds}]`,
        `strongest = sorted(parts, key=lambda part: -abs(part[1]))[:${partsShown()}]`,
        "shown = [part for part in parts if part in strongest or part[0] in edit]",
        "reads = {}",
        "for name, adds in shown:",
        '    print(f"{name:12} {adds:+.4f}")',
        '    if ".head." in name:',
        "        lengths = attention(run, name).written[0, row, : row + 1]",
        "        reads[name] = lengths / lengths.sum().clamp(min=1e-30)  # shares of what the head writes, by source",
      ],
    };
  },
  attention() {
    const { block, head } = chosenHead();
    const all = state.heads === "all";
    const compared = Object.keys(scene().switches).length > 0;
    const name = quoted(`${block}.head.*`);
    return {
      names: [ATTENTION],
      lines: [
        `found = attention(run, ${all ? '"*.head.*"' : name})`,
        `i = found.heads.index(${quoted(`${block}.head.${head}`)})`,
        "pattern, written = found.pattern[i], found.written[i]  # T, T: row i reads column j",
        all ? "" : "mean_pattern, habits = found.mean, found.habits()",
        compared ? `change = pattern - attention(before, ${quoted(`${block}.head.${head}`)}).pattern[0]` : "",
        "for j, weight in enumerate(pattern[row, : row + 1].tolist()):",
        "    share = written[row, j] / written[row, : row + 1].sum().clamp(min=1e-30)",
        '    print(f"{run.tokens[0][j]:12} weight {weight:.3%}, of what is written {share:.3%}")',
      ].filter(Boolean),
    };
  },
  lens() {
    const first = Math.floor(rowNow() / LENS_ROWS) * LENS_ROWS;
    const stop = Math.min(first + LENS_ROWS, pictureNow().tokens.length);
    return {
      names: ["lens"],
      lines: [
        pointsOfStream(),
        `answers = before.logits[0, ${first}:${stop}].argmax(-1)`,
        `found = lens(run, points, first=${first}, stop=${stop}, answers=answers)`,
        "for point, words, chances in zip(found.points, found.top_labels, found.probability.tolist()):",
        '    print(f"{point:14}", *(f"{word} {chance:.1%}" for word, chance in zip(words, chances)))',
      ],
    };
  },
  attribution() {
    return {
      names: ["attribution"],
      lines: [
        `found = attribution(${question()})`,
        "print(found)",
        "try:",
        `    finer = attribution(${question()}, of=${quoted(divided())})  # its neurons, or what it reads`,
        "    print(finer)",
        "except gpt2.UsageError as refused:  # it is switched itself",
        "    print(refused)",
      ],
    };
  },
  neurons() {
    const block = parts(state.at).block ?? 0;
    const { switches } = scene();
    const whole = Object.hasOwn(switches, `${block}.mlp`) || Object.hasOwn(switches, `${block}.block`);
    const chosen = chosenNeuron(block) ?? "found.strongest[0].unit";
    return {
      names: ["attribution", "excerpt", "neuron", "gpt2.explain.see.neurons active_neurons"],
      lines: [
        `found = active_neurons(run, ${block}, row)`,
        whole
          ? "adds = None  # it is switched as a whole"
          : `adds = attribution(run, vs="mean", at=row, of="${block}.mlp")`,
        "for one in found.strongest:",
        "    up = [run.label(i) for i in one.promotes]",
        `    more = "" if adds is None else f"{adds[f'${block}.mlp.post#{one.unit}']:+.4f}"`,
        '    print(f"#{one.unit:5} {one.activation:8.3f} {one.size:8.3f}", more, *up)',
        `contexts = neuron(checkpoint, f"${block}.mlp.post#{${chosen}}", excerpt(checkpoint, ref), contexts=6)`,
        "print(contexts)",
      ],
    };
  },
  off() {
    const { temperature, top_k, top_p, seed } = state;
    const rules = `temperature=${temperature}, top_k=${top_k || "None"}, top_p=${top_p}, seed=${seed}`;
    const missed = missedLines(measuredNow());
    return {
      names: ["before_after", ...missed.names],
      lines: [
        `longer = gpt2.Sampling(max_tokens=24, ${rules})`,
        "goes_on = before_after(checkpoint, text, edit, longer)",
        "print(goes_on)",
        ...missed.lines,
      ],
    };
  },
  patch() {
    if (!state.corrupt) return { names: [], lines: ["# patching needs a second prompt"] };
    return {
      names: ["Patching"],
      lines: [
        `second = ${quoted(state.corrupt)}`,
        `sweep = Patching(checkpoint, text, second, direction=${quoted(state.direction)})  # with everything on`,
        `grid = sweep.grid(${quoted(state.kind)})`,
        "print(grid)",
      ],
    };
  },
  compare() {
    if (state.against === "model") return ofTwoModels();
    if (!state.beside) return { names: [], lines: ["# there is no second prompt"] };
    const { names, lines } = ofBoth();
    return {
      names,
      lines: [
        `second = ${quoted(state.beside)}`,
        "other = trace(checkpoint, second, edit=edit)",
        "last = other.ids.size(1) - 1",
        "row_b = last if row == run.ids.size(1) - 1 else min(row, last)  # the row of B that stands for it",
        ...lines,
      ],
    };
  },
  positions() {
    return {
      names: ["neighbours", "position_similarity"],
      lines: [
        "similar = position_similarity(checkpoint)",
        "near = neighbours(checkpoint, int(run.ids[0, row]), 12)",
        "print(similar)",
        "print(near)",
      ],
    };
  },
};

// The same text in the second model of the page.
function ofTwoModels() {
  const { beside } = modelNow();
  if (!beside) return { names: [], lines: ["# there is no second model"] };
  if (Object.values(scene().switches).includes("mean")) {
    return { names: [], lines: ["# a switch at its mean has each model's own mean: edit B with reference(second)"] };
  }
  const { names, lines } = ofBoth();
  return {
    names,
    lines: [
      `second = gpt2.load(${quoted(beside.name)})`,
      "other, row_b = trace(second, text, edit=edit), row",
      ...lines,
    ],
  };
}

// What is compared of the two.
function ofBoth() {
  const { block, head } = chosenHead();
  const name = quoted(`${block}.head.${head}`);
  /** @type {Record<string, Lines>} */
  const compared = {
    lens: {
      names: ["lens"],
      lines: [
        pointsOfStream(),
        "a, b = (lens(one, points, first=at, stop=at + 1) for one, at in ((run, row), (other, row_b)))",
        "for i, point in enumerate(points):",
        '    seen = [f"{one.top_labels[i][0]:12} {one.probability[i, 0]:.2%}" for one in (a, b)]',
        '    print(f"{point:14}", *seen)',
      ],
    },
    attribution: {
      names: ["attribution"],
      lines: [
        `a = attribution(${question()})`,
        'word = lambda shown: "mean" if shown is None else shown.replace("·", " ")',
        "b = attribution(other, word(a.target), word(a.foil), at=row_b)  # the same question",
        "for part, of_a, of_b in zip(a.names, a.values.tolist(), b.values.tolist()):",
        '    print(f"{part:14} {of_a:+.4f} {of_b:+.4f} {of_b - of_a:+.4f}")',
      ],
    },
    attention: {
      names: [ATTENTION],
      lines: [
        `a, b = (attention(one, ${name}).pattern[0, at, : at + 1] for one, at in ((run, row), (other, row_b)))`,
        "print(a, b)",
      ],
    },
    losses: {
      names: [],
      lines: [
        "losses_b = -other.logits[0, :-1].float().log_softmax(-1).gather(1, other.ids[0, 1:, None])[:, 0]",
        "print(losses, losses_b)",
      ],
    },
    next: {
      names: [],
      lines: [
        "p_b = other.logits[0, row_b].float().softmax(-1)",
        "for i in p.maximum(p_b).topk(min(10, len(p))).indices.tolist():",
        '    print(f"{run.label(i):12} {p[i]:.3%} {p_b[i]:.3%} {100 * (p_b[i] - p[i]):+.3f} points")',
      ],
    },
  };
  return compared[state.both] ?? compared.next;
}
