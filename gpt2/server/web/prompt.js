// The prompt's field: as tall as its lines, Enter runs, Shift and Enter make a new line.

import { find } from "./dom.js";
import { state } from "./state.js";

/** @type {(text: string) => string} */
const asShown = (text) => text.replace(/\r\n?/g, "\n"); // a text area knows no other line ends

/**
 * A text area that grows with its lines, and whose Enter submits its form.
 * @param {HTMLTextAreaElement} field
 */
export function growing(field) {
  field.addEventListener("input", () => fit(field));
  requestAnimationFrame(() => fit(field)); // once it stands in the page
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    field.form?.requestSubmit();
  });
  return field;
}

/** @param {HTMLTextAreaElement} field */
export function fit(field) {
  if (!field.isConnected) return; // it has no size yet
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + field.offsetHeight - field.clientHeight}px`;
}

export function showPrompt() {
  const field = find("text");
  field.value = state.text;
  fit(field);
}

// The text in the field; where it shows the state's own text, that one to the character.
export function typedPrompt() {
  const { value } = find("text");
  return value === asShown(state.text) ? state.text : value;
}
