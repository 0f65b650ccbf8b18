// The live stream: server-sent events over `fetch`, because EventSource cannot carry a token.

const TOKEN = "gearshift-token";
/** The listener says something every second; after this long without a word the connection is given up. */
const SILENCE_MS = 10_000;

/** The listener, wherever this page lies below it. */
const at = (path) => `..${path}`;

/** Headers of every request to the listener. */
function headers() {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { authorization: `Bearer ${token}` } : {};
}

/** Keeps the token until the tab is closed. */
export const keepToken = (token) => sessionStorage.setItem(TOKEN, token);

/** Follows `/events` for ever. `on` has a function for each kind of event; `state` hears of the connection. */
export async function follow(on, state, askToken) {
  for (let pause = 500; ; pause = Math.min(pause * 2, 10_000)) {
    const silence = new Silence();
    try {
      const response = await fetch(at("/events"), { headers: headers(), cache: "no-store", signal: silence.signal });
      if (response.status === 401) {
        silence.end();
        state("a token is needed");
        await askToken(sessionStorage.getItem(TOKEN) ? "That token was refused." : "");
        pause = 250;
        continue;
      }
      if (!response.ok) throw new Error(response.status === 503 ? await response.text() : `HTTP ${response.status}`);
      state("live");
      pause = 500;
      await read(response.body.getReader(), on, silence);
      state("the stream ended; connecting again");
    } catch (error) {
      state(silence.signal.aborted ? "no word for 10 s; connecting again" : `not connected: ${error.message}`);
    }
    silence.end();
    await new Promise((wake) => setTimeout(wake, pause));
  }
}

/** Aborts a request where nothing is heard for long. */
class Silence {
  #abort = new AbortController();
  #timer;

  constructor() { this.heard(); }

  get signal() { return this.#abort.signal; }

  heard() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#abort.abort(), SILENCE_MS);
  }

  end() { clearTimeout(this.#timer); }
}

async function read(reader, on, silence) {
  const decoder = new TextDecoder();
  // Pieces of an event that has not ended: a large one comes in many.
  let pieces = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    silence.heard();
    const text = decoder.decode(value, { stream: true });
    pieces.push(text);
    // Only the last two characters can begin the end of an event.
    if (!text.includes("\n\n") && !(text.startsWith("\n") && pieces.length > 1)) continue;
    const events = pieces.join("").split("\n\n");
    pieces = [events.pop()];
    for (const event of events) dispatch(event, on);
  }
}

function dispatch(event, on) {
  let kind = "message";
  let data = "";
  for (const line of event.split("\n")) {
    if (line.startsWith("event: ")) kind = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  if (data && on[kind]) on[kind](JSON.parse(data));
}

/** Asks the listener to do something; gives an error's text, or null. */
export async function post(path, body) {
  const response = await fetch(at(path), {
    method: "POST",
    headers: { ...headers(), "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (response.ok) return null;
  const text = await response.text();
  try { return JSON.parse(text).error ?? text; } catch { return text; }
}

/** What the listener says at `path`, as JSON. */
export async function get(path) {
  const response = await fetch(at(path), { headers: headers(), cache: "no-store" });
  if (response.ok) return response.json();
  const text = await response.text();
  let why = text;
  try { why = JSON.parse(text).error ?? text; } catch { /* not JSON: as it is */ }
  throw new Error(why || `HTTP ${response.status}`);
}
