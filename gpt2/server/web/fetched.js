// What a page on a server brings in files beside it: fetched when the model is first needed, and kept by the browser.
// In: the names of the pieces. Out: their bytes as one stream, how much has come, and why it broke off: who reads a
// stream through a Response hears of a failure, but not of which.

export class NotThere extends Error {}

/**
 * @param {string[]} names
 * @param {number} size of all pieces, in bytes
 * @param {(share: number) => void} told
 * @param {(error: Error) => void} failed
 * @returns {ReadableStream<Uint8Array<ArrayBuffer>>}
 */
export function pieces(names, size, told, failed) {
  let next = 0;
  let come = 0;
  /** @type {ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>> | null} */
  let reader = null;
  return new ReadableStream({
    async pull(controller) {
      for (;;) {
        if (!reader && next === names.length) {
          controller.close();
          return;
        }
        reader ??= await open(names[next++]).catch((error) => {
          failed(error);
          throw error;
        });
        const { done, value } = await reader.read();
        if (value) {
          come += value.length;
          told(come / size);
          controller.enqueue(value);
          return;
        }
        if (done) reader = null;
      }
    },
  });
}

/** @param {string} name */
async function open(name) {
  let response;
  try {
    response = await fetch(name);
  } catch {
    response = null;
  }
  if (!response?.ok || !response.body) {
    throw new NotThere(
      location.protocol === "file:"
        ? "The model is in files beside this page, which no browser reads from disk: put the folder on a server."
        : `The server of this page does not give ${name}: load the page again, or put the whole folder there.`,
    );
  }
  return response.body.getReader();
}
