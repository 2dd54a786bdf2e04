// The questions that the engine answers, by name: those of gpt2/server/questions.py that need no text set.
// Head scores and importance are measured on many texts: a page brings them as answers. Of neurons it brings the places
// of a text where they are most active.

import { attention, head } from "./answers/attention.js";
import { attribution } from "./answers/attribution.js";
import { calculation } from "./answers/calculation.js";
import { picture } from "./answers/flow.js";
import { leaveOneOut } from "./answers/leave_one_out.js";
import { lens } from "./answers/lens.js";
import { contexts, neurons } from "./answers/neurons.js";
import { patch } from "./answers/patch.js";
import { neighbours, positions } from "./answers/positions.js";
import { continuation, draw } from "./answers/writing.js";

/** @import { Session } from "./session.js" */

/** @type {Record<string, (session: Session, ask: any, told: any, signal?: AbortSignal) => Promise<any>>} */
export const ANSWERS = {
  attention,
  attribution,
  calculation,
  contexts,
  continuation,
  draw,
  head,
  leave_one_out: leaveOneOut,
  lens,
  neighbours,
  neurons,
  patch,
  picture,
  positions,
};
