// SPDX-License-Identifier: Apache-2.0
// A text/event-stream as fetch gives it: the browser's EventSource can neither POST nor send a token.

/** The events of a response as they arrive: { id, name, data }, data being parsed JSON. heard() is told of any sign. */
export async function* eventsOf(response, heard = () => {}) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    heard();
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const event = parsed(block);
      if (event) yield event;
    }
  }
}

function parsed(block) {
  let name = "message";
  let id = null;
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    const [, field, value] = line.match(/^([^:]*)(?:: ?(.*))?$/) ?? [];
    if (field === "event") name = value;
    if (field === "id") id = value;
    if (field === "data") data.push(value);
  }
  return data.length ? { id, name, data: JSON.parse(data.join("\n")) } : null;
}
