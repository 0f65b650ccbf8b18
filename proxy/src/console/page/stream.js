// The live stream: server-sent events over `fetch`, because EventSource cannot carry a token.

const TOKEN = "gearshift-token";

/** Headers of every request to the listener. */
export function headers() {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { authorization: `Bearer ${token}` } : {};
}

/** Keeps the token until the tab is closed. */
export const keepToken = (token) => sessionStorage.setItem(TOKEN, token);

/** Follows `/events` for ever. `on` has a function for each kind of event; `state` hears of the connection. */
export async function follow(on, state, askToken) {
  for (let pause = 500; ; pause = Math.min(pause * 2, 10_000)) {
    try {
      const response = await fetch("/events", { headers: headers(), cache: "no-store" });
      if (response.status === 401) {
        state("a token is needed");
        await askToken();
        pause = 250;
        continue;
      }
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      state("live");
      pause = 500;
      await read(response.body.getReader(), on);
      state("the stream ended; connecting again");
    } catch (error) {
      state(`not connected: ${error.message}`);
    }
    await new Promise((wake) => setTimeout(wake, pause));
  }
}

async function read(reader, on) {
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += decoder.decode(value, { stream: true });
    const events = rest.split("\n\n");
    rest = events.pop();
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
  const response = await fetch(path, {
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
  const response = await fetch(path, { headers: headers(), cache: "no-store" });
  if (!response.ok) throw new Error(`HTTP ${response.status}: ${await response.text()}`);
  return response.json();
}
