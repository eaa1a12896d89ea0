// The connection: one look at /v1/kpis for the last minute, then a snapshot a second over a WebSocket; again when it ends.
// Where the WebSocket is refused, /v1/kpis alone is asked every few seconds, and the stream is tried again each time.
// The service that answers next may be another one, so nothing is kept but the points that were seen.

const PATIENCE = { first: 1000, most: 10000 };
const POLL = 3000;
// Without news for so long, what is shown is stale; for so much longer, the connection is given up.
const STALE = 3000;
const DEAD = 15000;
// Seconds that are kept.
const POINTS = 300;

// Calls `show(snapshot, points, recent)` for each snapshot, with the alerts that are over, and `tell(state, seconds, problem)` once a
// second, with what the service said where it refused something.
export function connect(show, tell) {
  const seen = { points: [], at: null, firing: [], recent: [], isBehind: true };
  let [socket, wait, again, isPolled, problem] = [null, PATIENCE.first, null, false, null];

  const take = (snapshot, minute) => {
    seen.points = merged(seen.points, [...minute, snapshot.point]);
    seen.at = Date.now();
    const firing = snapshot.alerts.map(({ id }) => id);
    seen.isBehind ||= seen.firing.some((id) => !firing.includes(id));
    seen.firing = firing;
    seen.show = () => show(snapshot, seen.points, seen.recent);
    seen.show();
    if (seen.isBehind) lookBack();
  };

  // A snapshot has the alerts that fire. Those that are over are asked for when one has ended, and where another service may answer.
  const lookBack = async () => {
    seen.isBehind = false;
    try {
      seen.recent = (await ask("v1/alerts")).recent;
      seen.show();
    } catch {
      seen.isBehind = true;
    }
  };

  const retry = () => {
    socket = null;
    again = Date.now() + wait;
    setTimeout(begin, wait);
    wait = Math.min(wait * 2, PATIENCE.most);
  };

  const begin = async () => {
    again = null;
    try {
      const { last_minute: minute, ...snapshot } = await ask("v1/kpis");
      take(snapshot, minute);
    } catch (refused) {
      [isPolled, problem] = [false, said(refused)];
      return retry();
    }
    const address = new URL("v1/kpis/live", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    socket = new WebSocket(address);
    socket.onopen = () => {
      [isPolled, problem, seen.isBehind] = [false, null, true];
      socket.onclose = retry;
    };
    socket.onmessage = ({ data }) => {
      wait = PATIENCE.first;
      take(JSON.parse(data), []);
    };
    socket.onclose = async () => {
      problem = said(await why());
      isPolled = problem !== null;
      if (isPolled) wait = POLL;
      retry();
    };
  };

  const look = () => {
    const silent = seen.at === null ? null : Date.now() - seen.at;
    if (isPolled) return tell("polled", 0, problem);
    if (again !== null) return tell("disconnected", Math.max(Math.ceil((again - Date.now()) / 1000), 0), problem);
    if (silent === null || socket === null) return tell("connecting");
    if (silent < STALE) return tell("live");
    if (silent > DEAD) socket.close();
    tell("stale", Math.floor(silent / 1000));
  };

  begin();
  look();
  setInterval(look, 1000);
}

// What was answered, if anything was.
const said = (problem) => (problem.code ? problem : null);

// A document of the service, or why there is none.
export async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE.most) });
  if (answer.ok) return answer.json();
  const { code, detail } = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(detail ?? path), { code: code ?? answer.status });
}

// A browser does not say why a WebSocket was refused; the service does when it is asked without one. If all that it misses then is
// the upgrade, something on the way has changed the request.
async function why() {
  try {
    return await ask("v1/kpis/live");
  } catch (refused) {
    return refused.code === "upgrade_required" ? { ...refused, code: "changed" } : refused;
  }
}

// All points, the oldest first, each second once: the newest of them that there is room for.
function merged(some, others) {
  const by = new Map([...some, ...others].filter(isPoint).map((point) => [point.timestamp, point]));
  return [...by.values()].sort((one, other) => Date.parse(one.timestamp) - Date.parse(other.timestamp)).slice(-POINTS);
}

// A service that has just started shows a second that never was.
const isPoint = (point) => Date.parse(point.timestamp) > 0;
