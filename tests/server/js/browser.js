// What the page's modules ask of a browser while they are loaded, without one: an address, a history, a theme.
// Import it before them.

export const listeners = {};
export const addresses = []; // each that the page has written

globalThis.location = { hash: "" };
export const pushed = []; // those among them that are a step of the browser's Back

globalThis.history = {
  state: null,
  replaceState: (...words) => addresses.push(words[2]),
  pushState(...words) {
    addresses.push(words[2]);
    pushed.push(words[2]);
  },
};
globalThis.addEventListener = (name, listener) => (listeners[name] = listener);
globalThis.document = { getElementById: () => null, documentElement: { dataset: { theme: "light" } } };
