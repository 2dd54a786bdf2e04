// Elements in one line: h("button.main", {onclick}, "run"), s("path", {d}) for SVG.
// Text is always text: nothing that a model says is ever read as HTML.

/**
 * What an element may hold; null, undefined and false are left out.
 * @typedef {Node | string | null | undefined | false} Child
 * @typedef {Child | Child[]} Children
 */
/**
 * Attributes, styles and listeners by name; one that is null, undefined or false is left out.
 * @typedef {{
 *   style?: Record<string, string>,
 *   onclick?: (event: MouseEvent) => unknown,
 *   onkeydown?: (event: KeyboardEvent) => unknown,
 *   onsubmit?: (event: SubmitEvent) => unknown,
 *   [name: string]: unknown,
 * }} Attributes
 */
/**
 * @template {string} Tag
 * @typedef {Tag extends keyof HTMLElementTagNameMap ? HTMLElementTagNameMap[Tag] : HTMLElement} OfTag
 */
/**
 * The element that a name such as "button.main" makes.
 * @template {string} Name
 * @typedef {Name extends `${infer Tag}.${string}` ? OfTag<Tag> : OfTag<Name>} Made
 */
/**
 * The elements of index.html that are more than an HTMLElement.
 * @typedef {{
 *   text: HTMLTextAreaElement, dialog: HTMLDialogElement, export: HTMLButtonElement,
 *   undo: HTMLButtonElement, redo: HTMLButtonElement,
 * }} Elements
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @template {string} Name
 * @param {Name} name
 * @param {Attributes} [attributes]
 * @param {...Children} children
 * @returns {Made<Name>}
 */
export function h(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  return filled(/** @type {Made<Name>} */ (document.createElement(tag)), classes, attributes, children);
}

/**
 * @param {string} name
 * @param {Attributes} [attributes]
 * @param {...Children} children
 * @returns {SVGElement}
 */
export function s(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  return filled(document.createElementNS(SVG, tag), classes, attributes, children);
}

/**
 * @template {HTMLElement | SVGElement} E
 * @param {E} element
 * @param {string[]} classes
 * @param {Attributes} attributes
 * @param {Children[]} children
 */
function filled(element, classes, attributes, children) {
  if (classes.length) element.classList.add(...classes);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (name === "style") Object.assign(element.style, value);
    else if (name === "value") Object.assign(element, { value });
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  add(element, present(children));
  return element;
}

/**
 * One by one: a call with very many arguments fails.
 * @param {Element} parent
 * @param {(Node | string)[]} children
 */
export function add(parent, children) {
  for (const child of children) parent.append(child);
}

/** @param {Children[]} children */
function present(children) {
  const isThere = (/** @type {Child} */ child) => child !== null && child !== undefined && child !== false;
  return /** @type {(Node | string)[]} */ (children.flat().filter(isThere));
}

/**
 * The element of index.html with this id.
 * @template {string} Id
 * @param {Id} id
 * @returns {Id extends keyof Elements ? Elements[Id] : HTMLElement}
 */
export function find(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no element ${id}.`);
  return /** @type {any} */ (found);
}

/**
 * The element at or around that on which something happened, by its selector; null where there is none.
 * @param {Event} event
 * @param {string} selector
 * @returns {HTMLElement | SVGElement | null}
 */
export function around(event, selector) {
  return event.target instanceof Element ? event.target.closest(selector) : null;
}

/**
 * New children, with the focus left where it was: on the element of the same data-key.
 * @param {Element} parent
 * @param {...Children} children
 */
export function fill(parent, ...children) {
  const focused = document.activeElement;
  const key = focused instanceof HTMLElement && parent.contains(focused) ? focused.dataset.key : undefined;
  parent.replaceChildren();
  add(parent, present(children));
  if (key !== undefined) focusOn(parent, key);
}

/**
 * The focus, on the element inside `parent` with this data-key, without scrolling.
 * @param {Element} parent
 * @param {string} key
 */
export function focusOn(parent, key) {
  /** @type {HTMLElement | null} */
  const element = parent.querySelector(`[data-key="${CSS.escape(key)}"]`);
  element?.focus({ preventScroll: true });
}

/**
 * A number that leads to the calculation that made it, by its place as text (places.js).
 * @param {string} calc
 * @param {string} text
 */
export const numberOf = (calc, text) =>
  h("button.number", { type: "button", "data-calc": calc, title: "how this number came about" }, text);

/**
 * The head of a table; what has no name is no heading.
 * @param {string[]} names
 */
export const headRow = (names) =>
  h("thead", {}, h("tr", {}, ...names.map((name) => (name ? h("th", { scope: "col" }, name) : h("td")))));

let fading = 0; // the timer that takes the message away

/** @param {string} text */
export function toast(text) {
  const box = find("toast");
  box.textContent = text;
  box.classList.add("shown");
  clearTimeout(fading);
  fading = setTimeout(() => box.classList.remove("shown"), 2600);
}

/**
 * A row of buttons of which one is pressed. An option: its value, its text, and what a pointer over it is told.
 * @template {string | number} V
 * @param {string} label
 * @param {[value: V, text: string, hint?: string][]} options
 * @param {V} chosen
 * @param {(value: V) => void} pick
 */
export function choice(label, options, chosen, pick) {
  const buttons = options.map(([value, text, hint]) =>
    h(
      "button",
      {
        type: "button",
        "aria-pressed": String(value === chosen),
        title: hint,
        "data-key": `${label}:${value}`,
        onclick: () => pick(value),
      },
      text,
    ),
  );
  return h("span.choice", { role: "group", "aria-label": label }, ...buttons);
}

/**
 * A part of a detail that comes later than the rest: a line until then.
 * @param {Promise<HTMLElement | null>} coming
 * @param {string} [waiting]
 */
export function later(coming, waiting = "…") {
  const place = h("section.barlist", { "data-coming": "" }, h("p.fine", {}, waiting));
  coming
    .then(
      (element) => element && place.replaceWith(element),
      (error) => place.replaceChildren(h("p.fine", {}, error.message)),
    )
    .finally(() => delete place.dataset.coming);
  return place;
}
