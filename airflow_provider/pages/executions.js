// The tab "Execution" of a task instance, and the page "Executions", in Airflow's web interface.
//
// An ES module without a build step: Airflow gives React as a global, and shows the functions that are set as globals at the end.
// It reads Airflow's public REST API with the viewer's own session, and sends nothing to any other system. What it shows comes from other
// systems and is hostile: it is text, never HTML, and a link only if it is plain http or https.

const { createElement: h, useCallback, useEffect, useMemo, useRef, useState } = globalThis.React;

const SYSTEMS = { buddy: "Buddy", tracecat: "Tracecat", alga_psa: "AlgaPSA" };
const OPERATORS = [
  "AlgaPsaExecuteRuleOperator",
  "AlgaPsaExecutionSensor",
  "AlgaPsaGetExecutionOperator",
  "AlgaPsaRetryExecutionOperator",
  "AlgaPsaRuleSensor",
  "BuddyActionExecutionSensor",
  "BuddyApproveExecutionOperator",
  "BuddyCancelExecutionOperator",
  "BuddyExecutionSensor",
  "BuddyGateOperator",
  "BuddyGetActionExecutionOperator",
  "BuddyGetExecutionOperator",
  "BuddyPipelineSensor",
  "BuddyRetryExecutionOperator",
  "BuddyRunPipelineOperator",
  "TracecatActionSensor",
  "TracecatAnswerInteractionOperator",
  "TracecatCancelExecutionOperator",
  "TracecatExecutionSensor",
  "TracecatGateOperator",
  "TracecatGetExecutionOperator",
  "TracecatResetExecutionOperator",
  "TracecatRunWorkflowOperator",
  "TracecatWorkflowSensor",
];
const ENDED_STATES = ["success", "failed", "skipped", "upstream_failed", "removed"];
// Those with an execution first: at most 100 of each group are loaded at a time.
const FOLLOWING_STATES = ["deferred", "running", "up_for_reschedule", "awaiting_input"];
const COMING_STATES = ["restarting", "up_for_retry", "scheduled", "queued"];
const PHASES = {
  // phase: sign, colour of Airflow's theme, word
  WAITING: ["‖", "orange", "waits for a person"],
  RUNNING: ["▶", "cyan", "running"],
  STOPPING: ["◼", "orange", "stopping"],
  QUEUED: ["…", "gray", "queued"],
  FAILED: ["✘", "red", "failed"],
  TIMED_OUT: ["✘", "red", "timed out"],
  CANCELLED: ["⊘", "gray", "cancelled"],
  SKIPPED: ["↷", "pink", "skipped"],
  SUCCEEDED: ["✔", "green", "succeeded"],
  UNKNOWN: ["?", "gray", "unknown"],
};
const ENDED = new Set(["SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT", "SKIPPED"]);
const TAB_SECONDS = 5;
const ENDED_SECONDS = 30; // of a task that has ended: somebody may clear it
const PAGE_SECONDS = 15;
const MOST_STEPS = 200; // of a result
const ROWS = 50; // ended tasks that are loaded at a time
const ACTIVE_ROWS = 100; // active ones
const AT_ONCE = 6; // requests for values at a time
const LONG = 2000; // characters of a value that are shown at first
const LONGEST = 100000; // and on demand

const isActive = (task) => !ENDED_STATES.includes(task.state);

// Texts

const BIDI = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** A text from elsewhere, on which characters that change the direction of writing have no effect. */
const plain = (value) => String(value).replace(BIDI, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`);

const textOf = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 1));

const address = (url) => (typeof url === "string" && /^https?:\/\/[^\s@]+$/i.test(url) ? url : null);

const moment = (text) => {
  const parsed = typeof text === "string" ? Date.parse(text) : NaN;
  return Number.isNaN(parsed) ? null : parsed;
};

const clock = (time) => new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });

function span(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds >= 0 && seconds < 9.95) return `${Number.isInteger(seconds) ? seconds : seconds.toFixed(1)} s`;
  const whole = Math.max(0, Math.round(seconds));
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

// Airflow's REST API

class Refused extends Error {
  constructor(status) {
    super(`Airflow answered ${status}.`);
    this.status = status;
  }
}

let token = null;

const ask = (url, signal) =>
  fetch(url, {
    headers: { Accept: "application/json", ...(token && { Authorization: `Bearer ${token}` }) },
    credentials: "same-origin",
    signal,
  });

/**
 * Send a request with the viewer's session: a cookie, or, in the first releases of Airflow 3.1, a token that they store. After an upgrade
 * an old one may still be there, so the cookie comes first.
 */
async function asked(url, signal) {
  const stored = localStorage.getItem("token");
  if (token !== stored) token = null; // logged out, or in again
  let answer = await ask(url, signal);
  if (answer.status === 401 && !token && stored) {
    token = stored;
    answer = await ask(url, signal);
  }
  if (token && [401, 403].includes(answer.status)) {
    const used = token;
    token = null;
    const other = await ask(url, signal);
    if (other.status === 401) token = used;
    else answer = other;
  }
  return answer;
}

/** Read from Airflow's REST API; null if there is no such thing. */
async function read(path, query = {}, signal = undefined) {
  const url = new URL(`api/v2/${path}`, document.baseURI);
  for (const [name, value] of Object.entries(query))
    for (const one of Array.isArray(value) ? value : [value]) url.searchParams.append(name, one);
  const answer = await asked(url, signal);
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Refused(answer.status);
  return answer.json();
}

const part = encodeURIComponent;
const taskPath = ({ dag_id, dag_run_id, task_id }) => `dags/${part(dag_id)}/dagRuns/${part(dag_run_id)}/taskInstances/${part(task_id)}`;
const pagePath = (task) => {
  const mapped = task.map_index >= 0 ? `/mapped/${task.map_index}` : "";
  return new URL(`dags/${part(task.dag_id)}/runs/${part(task.dag_run_id)}/tasks/${part(task.task_id)}${mapped}`, document.baseURI).href;
};

/** The value of an XCom if it is about an execution; null if there is none, or if it is somebody else's. */
async function xcom(task, key, signal) {
  const entry = await read(`${taskPath(task)}/xcomEntries/${part(key)}`, { map_index: task.map_index, deserialize: true }, signal);
  let value = entry && entry.value;
  if (typeof value === "string") {
    try {
      value = JSON.parse(value);
    } catch {
      return null;
    }
  }
  return value && ["system", "conn_id", "ref", "phase", "status"].every((name) => typeof value[name] === "string") ? value : null;
}

/** What a task has noted about its execution: the result at its end, before that the view of it. Both have the same names. */
async function executionOf(task, signal) {
  const result = task.state === "success" ? "return_value" : "execution";
  const keys = isActive(task) && task.state !== "up_for_retry" ? ["execution_view"] : [result, "execution_view"];
  for (const key of keys) {
    const value = await xcom(task, key, signal);
    if (value) return value;
  }
  return null;
}

function useTick(seconds, goesOn = true) {
  const [, count] = useState(0);
  useEffect(() => {
    if (!goesOn) return undefined;
    const timer = setInterval(() => document.hidden || count((n) => n + 1), seconds * 1000);
    return () => clearInterval(timer);
  }, [seconds, goesOn]);
}

/**
 * Call `load` now, and again every `secondsFor(what it gave)` seconds while the page is visible; never twice at a time.
 *
 * @returns [what it gave last, the error of the last call, a function that calls it now].
 */
function useReading(load, secondsFor) {
  const [state, setState] = useState({ value: null, error: null });
  const flight = useRef(null);
  const again = useCallback(async () => {
    if (flight.current) return;
    const mine = (flight.current = new AbortController());
    const set = (change) => mine.signal.aborted || setState(change);
    try {
      const value = await load(mine.signal, (partly) => set({ value: partly, error: null }));
      set({ value, error: null });
    } catch (error) {
      set(({ value }) => ({ value, error }));
    } finally {
      if (flight.current === mine) flight.current = null;
    }
  }, [load]);
  useEffect(() => {
    again();
    return () => {
      if (flight.current) flight.current.abort();
      flight.current = null;
    };
  }, [again]);
  const seconds = secondsFor(state.error ? null : state.value);
  useEffect(() => {
    const look = () => document.hidden || again();
    const timer = setInterval(look, seconds * 1000);
    document.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [again, seconds]);
  return [state.value, state.error, again];
}

// Small parts

const colour = (name) => `var(--chakra-colors-${name})`;
const MUTED = { color: colour("fg-muted") };
const MONO = { fontFamily: "ui-monospace, Menlo, Consolas, monospace", overflowWrap: "anywhere" };
const FRAME = { border: `1px solid ${colour("border")}`, borderRadius: 6, padding: 12, marginTop: 12 };
const CONTROL = {
  border: `1px solid ${colour("border")}`,
  borderRadius: 4,
  padding: "3px 8px",
  background: colour("bg"),
  color: colour("fg"),
};
const LINK = { color: colour("fg-info"), textDecoration: "underline" };

const Text = ({ children, style }) => h("bdi", { style }, plain(children));

function Phase({ phase, word: given }) {
  const [sign, tone, usual] = PHASES[phase] || PHASES.UNKNOWN;
  const word = given || usual;
  const style = {
    background: colour(`${tone}-subtle`),
    color: colour(`${tone}-fg`),
    borderRadius: 4,
    padding: "1px 8px",
    whiteSpace: "nowrap",
  };
  return h("span", { style, "data-phase": phase }, h("span", { "aria-hidden": true }, `${sign} `), PHASES[phase] ? word : plain(phase));
}

const External = ({ url, children }) =>
  address(url) ? h("a", { href: url, target: "_blank", rel: "noopener noreferrer", style: LINK }, children) : children;

const Section = ({ title, children, style }) =>
  h(
    "section",
    { style: { ...FRAME, ...style }, "aria-label": title },
    h("h3", { style: { fontWeight: 600, marginBottom: 6 } }, title),
    children,
  );

function Problem({ error, again }) {
  const told = {
    401: "Your session has ended.",
    403: "Airflow does not let you read this: tasks or XComs of the DAG.",
  };
  const text = told[error.status] || `Airflow does not answer as expected (${error.status || "no connection"}). Trying again.`;
  return h(
    "p",
    { role: "alert", style: { ...FRAME, background: colour("bg-error"), color: colour("fg-error") } },
    text,
    " ",
    error.status === 401 && h("a", { href: document.baseURI, style: LINK }, "Log in again"),
    h("button", { type: "button", onClick: again, style: CONTROL }, "Try now"),
  );
}

/** A value that may be very long. */
function Long({ value }) {
  const [whole, setWhole] = useState(false);
  const text = useMemo(() => textOf(value) ?? "", [value]);
  const shown = text.slice(0, whole ? LONGEST : LONG);
  const rest = text.length - shown.length;
  return h(
    "span",
    null,
    h("span", { style: { ...MONO, whiteSpace: "pre-wrap" } }, h(Text, null, shown)),
    rest > 0 && h("span", { style: MUTED }, ` … ${rest.toLocaleString()} characters more `),
    rest > 0 && !whole && h("button", { type: "button", style: CONTROL, onClick: () => setWhole(true) }, "Show more"),
  );
}

// The tab

const LINES = { maxHeight: 320, overflow: "auto", whiteSpace: "pre-wrap", fontSize: 12, padding: 8, background: colour("bg-muted") };

const Lines = ({ lines, title }) =>
  h("pre", { style: { ...MONO, ...LINES }, tabIndex: 0, role: "region", "aria-label": title }, h(Text, null, lines.join("\n")));

const isFailed = (phase) => phase === "FAILED" || phase === "TIMED_OUT";
const listOf = (value) => (Array.isArray(value) ? value : []);

/** Until when what is not known to have ended is shown: now, while its task is active. */
const endOf = (task, execution) =>
  moment(execution.finished_at) ?? (isActive(task) ? Date.now() : (moment(execution.seen_at) ?? moment(task.end_date) ?? Date.now()));

function Fields({ task, execution }) {
  const begun = moment(execution.started_at);
  const ended = moment(execution.finished_at);
  const lasts = isActive(task) && !ended;
  const actor = Object.entries(execution.actor || {}).filter(([name]) => !name.endsWith("_id"));
  const rows = [
    ["Ref", h(Text, { style: MONO }, execution.ref)],
    ["Status", h(Text, null, execution.status)],
    begun && ["Started", clock(begun)],
    begun && [ended ? "Duration" : lasts ? "Running for" : "Ran for at least", span((endOf(task, execution) - begun) / 1000)],
    ended && ["Ended", clock(ended)],
    typeof execution.progress === "number" && lasts && ["Progress", `${Math.round(execution.progress)} %`],
    ...actor.map(([name, value]) => [name[0].toUpperCase() + name.slice(1).replaceAll("_", " "), h(Text, null, textOf(value) ?? "")]),
    ["Connection", h(Text, null, execution.conn_id ?? "")],
    execution.log_file && ["Log file", h(Text, { style: MONO }, execution.log_file)],
  ].filter(Boolean);
  return h(
    "dl",
    { style: { display: "grid", gridTemplateColumns: "max-content minmax(0, 1fr)", gap: "2px 16px", marginTop: 12 } },
    rows.flatMap(([name, value], number) => [
      h("dt", { key: `${number}t`, style: MUTED }, h(Text, null, name)),
      h("dd", { key: `${number}d`, style: { overflowWrap: "anywhere" } }, value),
    ]),
  );
}

function Timeline({ task, execution }) {
  const steps = listOf(execution.steps);
  const end = endOf(task, execution);
  const bars = steps.map((step) => {
    const from = moment(step.started_at);
    const lasts = ["RUNNING", "WAITING", "STOPPING"].includes(step.phase);
    const to = moment(step.finished_at) ?? (lasts ? end : (moment(execution.seen_at) ?? end));
    return { from, to: from === null ? null : Math.max(to, from) };
  });
  const left = Math.min(...bars.map(({ from }) => from ?? Infinity), moment(execution.started_at) ?? Infinity);
  const right = Math.max(...bars.map(({ to }) => to ?? -Infinity), left + 1);
  const rows = steps.map((step, number) => {
    const { from, to } = bars[number];
    const [, tone] = PHASES[step.phase] || PHASES.UNKNOWN;
    const approved = step.actor && step.actor.approved_by;
    const isGate = step.phase === "WAITING" || approved || /APPROVAL|WAIT_FOR|interaction/i.test(String(step.type));
    const marks = [
      isGate && (approved ? `gate, approved by ${plain(approved)}` : "gate"),
      step.run > 1 && `run ${step.run}`,
      step.tolerated && isFailed(step.phase) && "its failure does not count",
    ].filter(Boolean);
    const width = from === null ? 0 : Math.max(((to - from) / (right - left)) * 100, 0.5);
    return h(
      "li",
      {
        key: number,
        style: { display: "flex", flexWrap: "wrap", columnGap: 8, alignItems: "center", padding: "3px 0" },
      },
      h(
        "span",
        { style: { flex: "2 1 8em", overflowWrap: "anywhere" } },
        h(External, { url: step.url }, h(Text, null, step.name)),
        marks.length > 0 && h("small", { style: MUTED }, ` (${marks.join(", ")})`),
      ),
      h(
        "span",
        { style: { flex: "1 1 10.5em" } },
        h(Phase, { phase: step.phase, word: from === null && step.phase === "QUEUED" && ENDED.has(execution.phase) ? "not run" : null }),
        from !== null && h("small", { style: { ...MUTED, whiteSpace: "nowrap" } }, ` ${span((to - from) / 1000)}`),
      ),
      h(
        "span",
        {
          "aria-hidden": true,
          style: { flex: "4 1 5em", position: "relative", height: 12, background: colour("bg-muted"), borderRadius: 3, overflow: "hidden" },
        },
        from !== null &&
          h("span", {
            style: {
              position: "absolute",
              top: 0,
              bottom: 0,
              left: `${Math.min(((from - left) / (right - left)) * 100, 99.5)}%`,
              width: `${width}%`,
              background: colour(`${tone}-solid`),
              borderRadius: 3,
            },
          }),
      ),
    );
  });
  if (!steps.length && !execution.steps_left_out) return null;
  return h(
    Section,
    { title: "Steps" },
    h("ol", { style: { listStyle: "none" } }, rows),
    execution.steps_left_out > 0 && h("p", { style: MUTED }, `${execution.steps_left_out} more steps are not shown.`),
    steps.length === MOST_STEPS && h("p", { style: MUTED }, `At most ${MOST_STEPS} steps are kept.`),
  );
}

function Outputs({ execution }) {
  const outputs = Object.entries(execution.outputs || {});
  const omitted = Object.entries(execution.outputs_omitted || {});
  if (!outputs.length && !omitted.length) return null;
  const row = (key, name, value) =>
    h(
      "tr",
      { key },
      h(
        "th",
        {
          scope: "row",
          style: { ...MONO, textAlign: "left", verticalAlign: "top", padding: "2px 16px 2px 0", fontWeight: 400, width: "30%" },
        },
        h(Text, null, name),
      ),
      h("td", null, value),
    );
  return h(
    Section,
    { title: "Outputs" },
    h(
      "table",
      { style: { borderCollapse: "collapse", width: "100%", tableLayout: "fixed" } },
      h("caption", { style: { ...MUTED, textAlign: "left", fontSize: 12 } }, "Names and values; what was left out, with the reason"),
      h(
        "tbody",
        null,
        outputs.map(([name, value]) => row(`o${name}`, name, h(Long, { value }))),
        omitted.map(([name, reason]) => row(`x${name}`, name, h("em", { style: MUTED }, "left out: ", h(Text, null, reason)))),
      ),
    ),
  );
}

function Failure({ task, execution }) {
  const step = listOf(execution.steps).find(({ phase, tolerated }) => isFailed(phase) && !tolerated);
  const tail = listOf(execution.log_tail).slice(-10);
  return h(
    Section,
    { title: "What went wrong", style: { borderColor: colour("red-solid") } },
    h("p", { style: { overflowWrap: "anywhere" } }, h(Text, null, execution.error || `The execution is ${execution.status}.`)),
    !isFailed(execution.phase) &&
      h("p", null, "Why the task failed is said at the end of ", h("a", { href: pagePath(task), style: LINK }, "its log"), "."),
    step &&
      h(
        "p",
        { style: { marginTop: 4 } },
        "Failed step: ",
        h("strong", null, h(Text, null, step.name)),
        step.error && step.error !== execution.error && h("span", null, ": ", h(Text, null, step.error)),
      ),
    tail.length > 0 && h(Lines, { lines: tail, title: "Last lines of the log" }),
  );
}

/** Of which moment it is. A result is of the end of its task. */
function asOf(task, execution) {
  const seen = moment(execution.seen_at);
  const ended = moment(task.end_date);
  const state = task.state || "not started yet";
  if (task.state === "up_for_retry") return `of try ${task.try_number}, which failed; Airflow starts another`;
  if (isActive(task)) {
    if (seen === null) return `task ${state}`;
    if (ended !== null && ended >= seen) return `of the try before; task ${state}`;
    const ago = span(Math.round((Date.now() - seen) / 1000));
    return `as of its last change at ${new Date(seen).toLocaleTimeString()}, ${ago} ago; task ${state}`;
  }
  if (ENDED.has(execution.phase)) return "";
  return `as of ${clock(seen ?? ended ?? Date.now())}; task ${state}`;
}

function ExecutionView({ task, execution }) {
  const active = isActive(task);
  useTick(1, active);
  const system = SYSTEMS[execution.system] || plain(execution.system);
  const tail = listOf(execution.log_tail);
  return h(
    "div",
    null,
    h(
      "div",
      { style: { display: "flex", flexWrap: "wrap", gap: 12, alignItems: "center" } },
      h("h2", { style: { fontSize: 18, fontWeight: 600 } }, `${system} execution`),
      h("span", { role: "status" }, h(Phase, { phase: execution.phase })),
      address(execution.url) && h(External, { url: execution.url }, `Open in ${system}`),
      h("span", { style: MUTED }, asOf(task, execution)),
    ),
    (isFailed(execution.phase) || ["failed", "up_for_retry"].includes(task.state)) && h(Failure, { task, execution }),
    active &&
      execution.phase === "WAITING" &&
      h(
        Section,
        { title: "Waits for a person", style: { borderColor: colour("orange-solid") } },
        h("p", { style: { overflowWrap: "anywhere" } }, h(Text, null, execution.waiting_for || "What has to be done is not told.")),
        h("p", null, h("a", { href: `${pagePath(task)}/required_actions`, style: LINK }, "Required actions of this task")),
      ),
    h(Fields, { task, execution }),
    h(Timeline, { task, execution }),
    h(Outputs, { execution }),
    tail.length > 0 &&
      h(
        "details",
        { style: FRAME },
        h("summary", { style: { fontWeight: 600, cursor: "pointer" } }, `End of the log (${tail.length} lines)`),
        h(Lines, { lines: tail, title: "End of the log" }),
      ),
  );
}

function Tab({ dagId, runId, taskId, mapIndex }) {
  const load = useCallback(
    async (signal) => {
      const index = mapIndex === undefined || mapIndex === "{MAP_INDEX}" ? -1 : Number(mapIndex);
      const key = { dag_id: dagId, dag_run_id: runId, task_id: taskId, map_index: index };
      const found = await read(`${taskPath(key)}${index >= 0 ? `/${index}` : ""}`, {}, signal);
      if (!found) return { task: { ...key, state: "removed" }, execution: null };
      const task = { ...found, ...key };
      const refs = await read(`${taskPath(key)}/xcomEntries`, { map_index: index, xcom_key: "ref", limit: 1 }, signal);
      const hasRef = listOf(refs && refs.xcom_entries).some((entry) => entry.key === "ref");
      return { task, hasRef, ours: OPERATORS.includes(task.operator), execution: hasRef ? await executionOf(task, signal) : null };
    },
    [dagId, runId, taskId, mapIndex],
  );
  const [value, error, again] = useReading(load, (last) => (last && !isActive(last.task) ? ENDED_SECONDS : TAB_SECONDS));
  const body = () => {
    if (!value) return error ? null : h("p", { style: MUTED, role: "status" }, "Loading …");
    const { task, ours, hasRef, execution } = value;
    if (execution) return h(ExecutionView, { task, execution });
    const told = !ours
      ? `This task has no execution in another system${isActive(task) ? " yet" : ""}.`
      : hasRef
        ? "The execution is known, but not read yet. Airflow keeps what a task knows of it as XComs; a custom XCom backend can't be read here."
        : isActive(task)
          ? "No execution yet. A new try begins without one: Airflow deletes what the last try has noted."
          : "The task ended without an execution.";
    return h("p", { style: MUTED, role: "status" }, told);
  };
  return h(
    "div",
    { "data-executions": "tab", style: { padding: 16, color: colour("fg"), maxWidth: 1100 } },
    error && h(Problem, { error, again }),
    body(),
  );
}

const Execution = (props) => h(Tab, { ...props, key: [props.dagId, props.runId, props.taskId, props.mapIndex].join("\n") });

// The page

const PERIODS = [
  ["1", "in the last hour"],
  ["24", "in the last 24 hours"],
  ["168", "in the last 7 days"],
  ["720", "in the last 30 days"],
  ["0", "at any time"],
];

/** Do something with each item, some at a time; the first error ends all. */
async function each(items, work) {
  const waiting = [...items];
  const worker = async () => {
    try {
      while (waiting.length) await work(waiting.shift());
    } catch (error) {
      waiting.length = 0;
      throw error;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

const rowKey = (task) => [task.dag_id, task.dag_run_id, task.task_id, task.map_index, task.try_number].join("\n");

/** States that this version of Airflow does not know: it refuses a request with one. */
const unknownStates = new Set();

/** Tasks in some states, unless the query says otherwise the newest; `total` says how many there are. */
async function tasksIn(states, most, dag, query, signal) {
  const path = `dags/${dag ? part(dag) : "~"}/dagRuns/~/taskInstances`;
  const tasks = [];
  let total = 0;
  while (tasks.length < most) {
    const state = states.filter((one) => !unknownStates.has(one));
    const limit = Math.min(most - tasks.length, 100);
    const wanted = { operator: OPERATORS, order_by: "-start_date", ...query, state, limit, offset: tasks.length };
    let answer;
    try {
      answer = await read(path, wanted, signal);
    } catch (error) {
      if (error.status !== 422 || !state.includes("awaiting_input")) throw error;
      unknownStates.add("awaiting_input"); // Airflow 3.3 has it
      continue;
    }
    const more = listOf(answer && answer.task_instances);
    tasks.push(...more);
    total = (answer && answer.total_entries) || 0;
    if (!more.length || tasks.length >= total) break;
  }
  return { tasks, total };
}

function systemOf(task, execution) {
  if (execution && SYSTEMS[execution.system]) return execution.system;
  const name = task.operator || "";
  return name.startsWith("Buddy") ? "buddy" : name.startsWith("Tracecat") ? "tracecat" : name.startsWith("AlgaPsa") ? "alga_psa" : "";
}

/** What is executed: the rendered argument of the task, else as the ref names it. */
function subjectOf(task, execution) {
  const fields = task.rendered_fields || {};
  const named = ["pipeline", "workflow", "rule"]
    .map((name) => fields[name])
    .find((value) => value !== undefined && value !== null && value !== "");
  if (named !== undefined) return textOf(named) ?? "";
  return execution ? execution.ref.split("/").slice(0, -1).join("/") : "";
}

const rank = ({ task, execution }) => (!isActive(task) ? 2 : execution && execution.phase === "WAITING" ? 0 : 1);

/** What a row needs of an execution: the page may stay open for days. */
function shortened(execution) {
  if (!execution) return execution;
  const { system, phase, ref, url, started_at, finished_at, seen_at, waiting_for } = execution;
  return { system, phase, ref, url, started_at, finished_at, seen_at, waiting_for };
}

const UNREADABLE = { unreadable: true };

function Choice({ label, value, set, options }) {
  return h(
    "label",
    { style: { display: "inline-flex", gap: 6, alignItems: "center" } },
    label,
    h(
      "select",
      { value, onChange: (event) => set(event.target.value), style: CONTROL },
      options.map(([key, title]) => h("option", { key, value: key }, title)),
    ),
  );
}

function Row({ row: { task, execution: noted } }) {
  const execution = noted === UNREADABLE ? null : noted;
  const cell = { padding: "6px 12px 6px 0", verticalAlign: "top", overflowWrap: "anywhere" };
  const begun = moment(execution && execution.started_at) || moment(task.start_date);
  const until = execution ? endOf(task, execution) : isActive(task) ? Date.now() : moment(task.end_date);
  const seconds = begun && until ? (until - begun) / 1000 : NaN;
  const index = task.map_index >= 0 ? ` [${task.rendered_map_index ?? task.map_index}]` : "";
  const system = systemOf(task, execution);
  const phase =
    execution === undefined
      ? h("span", { style: MUTED }, "…")
      : execution
        ? h(Phase, { phase: execution.phase })
        : h("span", { style: MUTED }, noted === UNREADABLE ? "can't be read" : "not known");
  return h(
    "tr",
    { style: { borderTop: `1px solid ${colour("border")}` } },
    h(
      "td",
      { style: cell },
      phase,
      execution &&
        isActive(task) &&
        execution.phase === "WAITING" &&
        execution.waiting_for &&
        h("small", { style: { ...MUTED, display: "block" } }, h(Text, null, execution.waiting_for)),
    ),
    h("td", { style: { ...cell, whiteSpace: "nowrap" } }, SYSTEMS[system] || ""),
    h("td", { style: cell }, h(Text, null, subjectOf(task, execution).slice(0, 200))),
    h(
      "td",
      { style: { ...cell, ...MONO, fontSize: 12, minWidth: "10em" } },
      execution ? h(External, { url: execution.url }, h(Text, null, execution.ref)) : "",
    ),
    h(
      "td",
      { style: { ...cell, minWidth: "14em" } },
      h("a", { href: pagePath(task), style: LINK }, h(Text, null, `${task.dag_id} / ${task.task_id}${index}`)),
      h(
        "small",
        { style: { ...MUTED, display: "block" } },
        `task ${task.state || "not started"}${task.try_number > 1 ? `, try ${task.try_number}` : ""}`,
      ),
    ),
    h("td", { style: { ...cell, minWidth: "8em" } }, begun ? clock(begun) : ""),
    h("td", { style: { ...cell, whiteSpace: "nowrap" } }, span(seconds)),
  );
}

function Executions() {
  const [system, setSystem] = useState("");
  const [phase, setPhase] = useState("");
  const [dag, setDag] = useState("");
  const [hours, setHours] = useState("24");
  const [pages, setPages] = useState(1);
  const known = useRef(new Map()); // row to what its task has noted, and whether that is the last
  const [exact, setExact] = useState("");
  const load = useCallback(
    async (signal, show) => {
      const since = hours === "0" ? {} : { start_date_gte: new Date(Date.now() - hours * 3600e3).toISOString() };
      const [following, coming, ended] = [
        await tasksIn(FOLLOWING_STATES, ACTIVE_ROWS * pages, exact, { order_by: "start_date" }, signal),
        await tasksIn(COMING_STATES, ACTIVE_ROWS, exact, {}, signal),
        await tasksIn(ENDED_STATES, ROWS * pages, exact, since, signal),
      ];
      const tasks = [...new Map([...following.tasks, ...coming.tasks, ...ended.tasks].map((task) => [rowKey(task), task])).values()];
      const keys = new Set(tasks.map(rowKey));
      for (const key of known.current.keys()) if (!keys.has(key)) known.current.delete(key);
      const value = () => ({
        rows: tasks
          .map((task) => ({ task, execution: (known.current.get(rowKey(task)) || {}).execution }))
          .filter(({ task, execution }) => isActive(task) || execution !== null),
        active: { loaded: following.tasks.length + coming.tasks.length, total: following.total + coming.total },
        ended: { loaded: ended.tasks.length, total: ended.total },
      });
      show(value());
      let shown = Date.now();
      await each(tasks, async (task) => {
        const key = rowKey(task);
        if ((known.current.get(key) || {}).isLast) return;
        try {
          const execution = shortened(await executionOf(task, signal));
          known.current.set(key, { execution, isLast: !isActive(task) });
        } catch (error) {
          if (signal.aborted || error.status === 401) throw error;
          known.current.set(key, { execution: UNREADABLE, isLast: error.status === 403 });
        }
        if (Date.now() - shown > 300) {
          shown = Date.now();
          show(value());
        }
      });
      return value();
    },
    [exact, hours, pages],
  );
  const [value, error, again] = useReading(load, () => PAGE_SECONDS);
  useTick(5);
  const rows = useMemo(() => {
    const wanted = ({ task, execution }) =>
      (!system || systemOf(task, execution) === system) &&
      (!phase || (execution && execution.phase === phase)) &&
      (!dag || task.dag_id.toLowerCase().includes(dag.toLowerCase()));
    return ((value && value.rows) || [])
      .filter(wanted)
      .sort((a, b) => rank(a) - rank(b) || (moment(b.task.start_date) || 0) - (moment(a.task.start_date) || 0));
  }, [value, system, phase, dag]);
  const dags = useMemo(() => [...new Set(((value && value.rows) || []).map(({ task }) => task.dag_id))].sort(), [value]);
  useEffect(() => {
    let over = false;
    const timer = setTimeout(async () => {
      const found = dag ? await read(`dags/${part(dag)}`).catch(() => null) : null;
      if (!over) setExact(found ? dag : "");
    }, 400);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [dag]);
  const head = ["Execution", "System", "Pipeline, workflow or rule", "Ref", "Task", "Since", "Duration"];
  const loaded =
    value &&
    `${value.active.loaded} of ${value.active.total} active and ${value.ended.loaded} of ${value.ended.total} ended tasks are loaded, ` +
      `${rows.length} shown.`;
  return h(
    "div",
    { "data-executions": "page", style: { padding: 16, color: colour("fg"), height: "100%", overflow: "auto" } },
    h("h1", { style: { fontSize: 22, fontWeight: 600 } }, "Executions"),
    h(
      "p",
      { style: MUTED },
      "Executions in other systems that tasks have started or wait for. Those that wait for a person come first, then those that go on.",
    ),
    h(
      "form",
      {
        onSubmit: (event) => event.preventDefault(),
        style: { display: "flex", flexWrap: "wrap", gap: 12, margin: "12px 0", alignItems: "center" },
      },
      h(Choice, { label: "System", value: system, set: setSystem, options: [["", "all"], ...Object.entries(SYSTEMS)] }),
      h(Choice, {
        label: "Phase",
        value: phase,
        set: setPhase,
        options: [["", "all"], ...Object.entries(PHASES).map(([key, [, , word]]) => [key, word])],
      }),
      h(Choice, { label: "Ended tasks begun", value: hours, set: (chosen) => (setPages(1), setHours(chosen)), options: PERIODS }),
      h(
        "label",
        { style: { display: "inline-flex", gap: 6, alignItems: "center" } },
        "DAG",
        h("input", {
          value: dag,
          onChange: (event) => (setPages(1), setDag(event.target.value)),
          list: "provider-executions-dags",
          placeholder: "part of its id",
          style: CONTROL,
        }),
        h(
          "datalist",
          { id: "provider-executions-dags" },
          dags.map((id) => h("option", { key: id, value: id })),
        ),
      ),
      h("button", { type: "button", onClick: again, style: CONTROL }, "Refresh"),
    ),
    error && h(Problem, { error, again }),
    !value && !error && h("p", { style: MUTED, role: "status" }, "Loading …"),
    value && h("p", { style: { ...MUTED, fontSize: 13 }, role: "status" }, loaded),
    rows.length > 0 &&
      h(
        "div",
        { style: { overflowX: "auto" }, tabIndex: 0, role: "region", "aria-label": "Table of executions" },
        h(
          "table",
          { style: { width: "100%", borderCollapse: "collapse", fontSize: 14, minWidth: 820 } },
          h(
            "thead",
            null,
            h(
              "tr",
              null,
              head.map((title) =>
                h("th", { key: title, scope: "col", style: { textAlign: "left", padding: "6px 12px 6px 0", fontWeight: 600 } }, title),
              ),
            ),
          ),
          h(
            "tbody",
            null,
            rows.map((row) => h(Row, { key: rowKey(row.task), row })),
          ),
        ),
      ),
    value &&
      !rows.length &&
      h("p", null, value.rows.length ? "Nothing that is loaded matches these filters." : "No task of this time has an execution."),
    value &&
      (value.ended.loaded < value.ended.total || value.active.loaded < value.active.total) &&
      h("button", { type: "button", onClick: () => setPages(pages + 1), style: { ...CONTROL, marginTop: 12 } }, "Load more"),
  );
}

globalThis.Execution = Execution;
globalThis.Executions = Executions;
