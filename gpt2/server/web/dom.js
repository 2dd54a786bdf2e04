// Elements in one line: h("button.main", {onclick}, "run"), s("path", {d}) for SVG.
// Text is always text: nothing that a model says is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

export function h(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  return filled(document.createElement(tag || "div"), classes, attributes, children);
}

export function s(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  return filled(document.createElementNS(SVG, tag), classes, attributes, children);
}

function filled(element, classes, attributes, children) {
  if (classes.length) element.classList.add(...classes);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const find = (id) => document.getElementById(id);

// New children, with the focus left where it was: on the element of the same data-key.
export function fill(parent, ...children) {
  const focused = parent.contains(document.activeElement) ? document.activeElement.dataset?.key : undefined;
  parent.replaceChildren(...children.flat().filter(Boolean));
  if (focused !== undefined) {
    parent.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
}

export function toast(text) {
  const box = find("toast");
  box.textContent = text;
  box.classList.add("shown");
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => box.classList.remove("shown"), 2600);
}

// A row of buttons of which one is pressed.
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

// A part of a detail that comes later than the rest: a line until then.
export function later(coming, waiting = "…") {
  const place = h("section.barlist", {}, h("p.fine", {}, waiting));
  coming.then(
    (element) => element && place.replaceWith(element),
    (error) => place.replaceChildren(h("p.fine", {}, error.message)),
  );
  return place;
}
