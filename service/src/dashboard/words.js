// Every word of the page, in both languages side by side, and which of them is spoken.

export const LANGUAGES = ["en", "es"];

const WORDS = {
  "skip": ["Skip to the content", "Ir al contenido"],
  "language": ["Language", "Idioma"],
  "docs": ["API", "API"],
  "title": ["Live risk scoring", "Riesgo en tiempo real"],
  "none": ["–", "–"],
  "other": ["other", "otros"],
  "yes": ["yes", "sí"],
  "no": ["no", "no"],

  "connection.connecting": ["connecting…", "conectando…"],
  "connection.live": ["live", "en vivo"],
  "connection.stale": ["stale since {seconds} s", "sin datos desde hace {seconds} s"],
  "connection.disconnected": ["disconnected, trying again in {seconds} s", "desconectado, nuevo intento en {seconds} s"],
  "connection.polled": ["every few seconds", "cada pocos segundos"],
  "announce.polled": ["The live stream is refused, numbers come every few seconds", "Se rechaza el flujo en vivo, las cifras llegan cada pocos segundos"],
  // The service says in English what it refuses.
  "trouble.changed": [
    "The live stream does not get through: a reverse proxy has to pass `Host`, `Upgrade` and `Connection` on.",
    "El flujo en vivo no llega: un proxy inverso tiene que dejar pasar `Host`, `Upgrade` y `Connection`.",
  ],
  "announce.live": ["Connected, numbers are live", "Conectado, cifras en vivo"],
  "announce.stale": ["Numbers are stale", "Las cifras no se actualizan"],
  "announce.disconnected": ["Disconnected, trying again", "Desconectado, reintentando"],
  "announce.connecting": ["Connecting", "Conectando"],
  "announce.alert": ["Alert: {alert}", "Alerta: {alert}"],
  "announce.resolved": ["Alert resolved: {alert}", "Alerta resuelta: {alert}"],

  "state": ["State", "Estado"],
  "state.excellent": ["excellent", "excelente"],
  "state.good": ["good", "bueno"],
  "state.fair": ["fair", "regular"],
  "state.critical": ["critical", "crítico"],
  "state.facts": ["up for {uptime} · figures of the last {window}", "activo desde hace {uptime} · cifras de los últimos {window}"],
  "problems": ["What is wrong", "Qué va mal"],
  "problem.latency": ["p95 response time is {value}, the limit is {limit}", "el p95 del tiempo de respuesta es {value}, el límite es {limit}"],
  "problem.errors": ["{value} of answers are errors, the limit is {limit}", "el {value} de las respuestas son errores, el límite es {limit}"],
  "problem.throughput": ["throughput is {value}, at least {limit} is expected", "el rendimiento es {value}, se espera al menos {limit}"],
  "problem.memory": ["{value} of memory is used, the limit is {limit}", "se usa el {value} de la memoria, el límite es {limit}"],
  "problem.cache_hits": ["{value} of lookups hit the cache, at least {limit} is expected", "acierta el {value} de las consultas a la caché, se espera al menos {limit}"],
  // The service says what to do in English; this is the same in other words where the page speaks another language.
  "advice.latency": [null, "Mirar qué etapa tarda (abajo) y dar más núcleos o instancias."],
  "advice.errors": [null, "Mirar los códigos de error (abajo) y el registro del servicio."],
  "advice.throughput": [null, "Comprobar que las peticiones llegan al servicio y que nada las frena."],
  "advice.memory": [null, "Bajar `store.memory` y las cachés, o dar más memoria."],
  "advice.cache_hits": [null, "Subir `cache.entries` o `cache.keep`, o aceptar que las solicitudes no se repiten."],

  "tiles": ["Key figures", "Cifras clave"],
  "tile.p95": ["Response time, p95", "Tiempo de respuesta, p95"],
  "tile.p95.note": ["p50 {p50} · p99 {p99}", "p50 {p50} · p99 {p99}"],
  "tile.throughput": ["Throughput", "Rendimiento"],
  "tile.throughput.note": ["{scores} of it scores", "{scores} son puntuaciones"],
  "tile.success": ["Success", "Éxito"],
  "tile.success.note": ["{errors} errors · {client} refused", "{errors} errores · {client} rechazadas"],
  "tile.confidence": ["Mean confidence", "Confianza media"],
  "tile.confidence.note": ["mean probability of default {mean}", "probabilidad media de impago {mean}"],
  "tile.degraded": ["Degraded", "Degradadas"],
  "tile.degraded.note": ["{count} over budget", "{count} fuera de plazo"],
  "tile.lag": ["Lag", "Retraso"],
  "tile.lag.kafka": ["{records} records waiting", "{records} registros en espera"],
  "tile.lag.queue": ["{records} records wait for the log", "{records} registros esperan al log"],
  "per_second": ["/s", "/s"],

  "charts": ["Charts", "Gráficos"],
  "chart.response": ["Response time", "Tiempo de respuesta"],
  "chart.throughput": ["Throughput", "Rendimiento"],
  "chart.modes": ["Mode mix", "Modos de respuesta"],
  "chart.scores": ["Scores against training", "Puntuaciones frente al entrenamiento"],
  "chart.seconds": ["second by second", "segundo a segundo"],
  "chart.share": ["share of the scores of each second", "parte de las puntuaciones de cada segundo"],
  "chart.psi": ["PSI {psi} over {samples} scores", "PSI {psi} con {samples} puntuaciones"],
  "chart.table": ["Table", "Tabla"],
  "chart.of": ["{chart}, as a table", "{chart}, como tabla"],
  "chart.now": ["{chart}, now: {values}", "{chart}, ahora: {values}"],
  "chart.waiting": ["nothing to show yet", "aún no hay nada que mostrar"],
  "series.p50": ["p50", "p50"],
  "series.p95": ["p95", "p95"],
  "series.p99": ["p99", "p99"],
  "series.requests": ["requests/s", "peticiones/s"],
  "series.scores": ["scores/s", "puntuaciones/s"],
  "series.errors": ["errors/s", "errores/s"],
  "series.reference": ["training", "entrenamiento"],
  "series.live": ["live", "en vivo"],
  "column.time": ["Time", "Hora"],
  "column.below": ["Probability below", "Probabilidad menor que"],
  "mode.full": ["full", "completo"],
  "mode.cached": ["cached", "caché"],
  "mode.fallback": ["fallback", "respaldo"],
  "mode.refer": ["refer", "derivado"],

  "alerts": ["Alerts", "Alertas"],
  "alerts.none": ["No alert is active.", "No hay alertas activas."],
  "resolved": ["Recently resolved", "Resueltas recientemente"],
  "alert.since": ["since {time}", "desde las {time}"],
  "alert.resolved": ["resolved {time}", "resuelta a las {time}"],
  // The service says these in English, and better: here is what they are called, and the same in Spanish.
  "alert.latency": ["Response time", "Tiempo de respuesta"],
  "alert.errors": ["Errors", "Errores"],
  "alert.degraded": ["Degraded scores", "Puntuaciones degradadas"],
  "alert.memory": ["Memory", "Memoria"],
  "alert.lag": ["Stream lag", "Retraso del flujo"],
  "alert.failed_events": ["Refused events", "Eventos rechazados"],
  "alert.log_growth": ["Log growth", "Crecimiento del log"],
  "alert.score_drift": ["Score drift", "Deriva de las puntuaciones"],
  "alert.feature_drift": ["Feature drift", "Deriva de una variable"],
  "alert.breaker_open": ["Breaker open", "Disyuntor abierto"],
  "alert_summary.latency": [null, "el 95 % de las puntuaciones tarda hasta {value}, más de {threshold}"],
  "alert_summary.errors": [null, "falla el {value} de las peticiones, más del {threshold}"],
  "alert_summary.degraded": [null, "está degradado el {value} de las puntuaciones, más del {threshold}"],
  "alert_summary.memory": [null, "se usa el {value} de la memoria, más del {threshold}"],
  "alert_summary.lag": [null, "el flujo va {value} por detrás, más de {threshold}"],
  "alert_summary.failed_events": [null, "se rechaza el {value} de los eventos, más del {threshold}"],
  "alert_summary.log_growth": [null, "el log crece {value} veces más rápido de lo habitual, más de {threshold} veces"],
  "alert_summary.score_drift": [null, "las puntuaciones no se reparten como en el entrenamiento: PSI {value}, más de {threshold}"],
  "alert_summary.feature_drift": [null, "`{subject}` no se reparte como en el entrenamiento: PSI {value}, más de {threshold}"],
  "alert_summary.breaker_open": [null, "`{subject}` falla o va lento, y se deja en paz"],
  "alert_advice.latency": [null, "mirar las etapas: un modelo lento, un disco lento o más peticiones de las que atiende esta máquina"],
  "alert_advice.errors": [null, "mirar los códigos de error: `overloaded` pide más instancias, los demás dicen qué está roto"],
  "alert_advice.degraded": [null, "mirar los motivos: cada uno dice qué va lento o está roto"],
  "alert_advice.memory": [null, "bajar `store.memory` o dar más memoria: pasado el límite, el sistema termina el servicio"],
  "alert_advice.lag": [null, "`cauce lag` dice a qué ritmo se recupera; más instancias se reparten las particiones"],
  "alert_advice.failed_events": [null, "mirar por qué se rechazan, o `cauce dead-letters`: lo rechazado no está en ningún historial"],
  "alert_advice.log_growth": [null, "buscar quién envía tanto; `log.retain_size` y el disco limitan cuánto puede durar"],
  "alert_advice.score_drift": [null, "mirar qué variables han derivado; entrenar de nuevo si los solicitantes han cambiado"],
  "alert_advice.feature_drift": [null, "mirar de dónde viene la variable; entrenar de nuevo si los solicitantes han cambiado"],
  "alert_advice.breaker_open": [null, "arreglar lo que hay detrás: se reintenta solo, y hasta entonces las respuestas salen degradadas"],
  "severity.info": ["info", "información"],
  "severity.warning": ["warning", "aviso"],
  "severity.critical": ["critical", "crítica"],

  "decisions": ["Decisions", "Decisiones"],
  "decisions.none": ["No application was scored yet.", "Aún no se ha puntuado ninguna solicitud."],
  "decisions.since": ["since {time}", "desde las {time}"],
  "column.today": ["Today", "Hoy"],
  "column.window": ["Last {window}", "Últimos {window}"],
  "decision.all": ["Decisions", "Decisiones"],
  "decision.approve": ["approved", "aprobadas"],
  "decision.refer": ["referred", "derivadas"],
  "decision.decline": ["declined", "rechazadas"],
  "decision.default": ["predicted to default", "con impago previsto"],
  "decision.probability": ["mean probability", "probabilidad media"],
  "decision.confidence": ["mean confidence", "confianza media"],
  "mix": ["Who is decided on", "Sobre quién se decide"],
  "mix.bands": ["Risk bands, last {window}", "Bandas de riesgo, últimos {window}"],
  "mix.products": ["By product", "Por producto"],

  "trial": ["Score an application", "Puntuar una solicitud"],
  "trial.about": [
    "Fields are those of the bundle in service. With a person, the application counts in their history.",
    "Los campos son los del paquete en servicio. Con una persona, la solicitud cuenta en su historial.",
  ],
  "trial.person": ["Person", "Persona"],
  "trial.optional": ["optional", "opcional"],
  "trial.send": ["Score", "Puntuar"],
  "trial.waiting": ["The answer appears here.", "La respuesta aparece aquí."],
  "trial.no_fields": ["The fields cannot be read: {problem}", "No se pueden leer los campos: {problem}"],
  "trial.no_answer": ["There was no answer: {problem}", "No hubo respuesta: {problem}"],
  "trial.range": ["{min} to {max}", "de {min} a {max}"],
  "verdict.approve": ["Approve", "Aprobar"],
  "verdict.refer": ["Refer", "Derivar"],
  "verdict.decline": ["Decline", "Rechazar"],
  "answer.probability": ["probability of default", "probabilidad de impago"],
  "answer.confidence": ["Confidence", "Confianza"],
  "answer.band": ["Band", "Banda"],
  "answer.mode": ["Mode", "Modo"],
  "answer.history": ["History known", "Historial conocido"],
  "answer.recorded": ["Recorded", "Registrada"],
  "answer.timing": ["{total} in the service, {trip} with the way there and back", "{total} en el servicio, {trip} con la ida y la vuelta"],
  "answer.zones": ["approved below {approve}, declined from {decline}", "se aprueba por debajo de {approve}, se rechaza desde {decline}"],
  "problem.title": ["Refused: {code}", "Rechazada: {code}"],
  "problem.request": ["request {id}", "petición {id}"],
  "field.expected": ["expected: {expected}", "se espera: {expected}"],
  "field.suggestion": ["did you mean `{suggestion}`?", "¿quizá `{suggestion}`?"],

  "bundle": ["Bundle and drift", "Paquete y deriva"],
  "bundle.name": ["Name", "Nombre"],
  "bundle.version": ["Version", "Versión"],
  "bundle.hash": ["Hash", "Huella"],
  "bundle.drift": ["Features that have drifted furthest ({samples} rows)", "Variables con más deriva ({samples} filas)"],
  "bundle.no_drift": ["No row was compared with training yet.", "Aún no se ha comparado ninguna fila con el entrenamiento."],
  "column.feature": ["Feature", "Variable"],
  "column.psi": ["PSI", "PSI"],
  "column.missing": ["Missing", "Ausente"],
  "column.missing_reference": ["in training", "en entrenamiento"],

  "resources": ["Resources", "Recursos"],
  "resource.cpu": ["CPU", "CPU"],
  "resource.memory": ["Memory", "Memoria"],
  "resource.connections": ["Open connections", "Conexiones abiertas"],
  "resource.in_flight": ["Requests in flight", "Peticiones en curso"],
  "resource.queue": ["Waiting for the log", "En espera del log"],
  "resource.event_loop": ["Event loop delay", "Demora del bucle"],
  "resource.people": ["People", "Personas"],
  "resource.history": ["Histories in memory", "Historiales en memoria"],
  "resource.log": ["Log", "Log"],
  "resource.state": ["State on disk", "Estado en disco"],
  "resource.checkpoint": ["Checkpoint age", "Antigüedad del punto de control"],
  "resource.freshness": ["Freshness of histories", "Frescura de los historiales"],
  "resource.of": ["{used} of {limit}", "{used} de {limit}"],
  "breakers": ["Breakers", "Disyuntores"],
  "breaker.closed": ["closed", "cerrado"],
  "breaker.open": ["open", "abierto"],
  "breaker.half_open": ["half open", "semiabierto"],

  "stages": ["Where time goes", "Dónde se va el tiempo"],
  "stages.scoring": ["Scoring, by stage", "Puntuar, por etapas"],
  "stages.routes": ["Requests, by route", "Peticiones, por ruta"],
  "column.stage": ["Stage", "Etapa"],
  "column.route": ["Route", "Ruta"],
  "column.rate": ["Rate", "Ritmo"],
  "stage.receive": ["receive", "recibir"],
  "stage.validate": ["validate", "validar"],
  "stage.state": ["state", "historial"],
  "stage.features": ["features", "variables"],
  "stage.cache": ["cache", "caché"],
  "stage.model": ["model", "modelo"],
  "stage.ledger": ["ledger", "libro"],
  "stage.reply": ["reply", "responder"],

  "quality": ["Quality of answers", "Calidad de las respuestas"],
  "quality.success": ["Success", "Éxito"],
  "quality.errors": ["Errors", "Errores"],
  "quality.client_errors": ["Refused by the client's fault", "Rechazos por culpa del cliente"],
  "quality.timeouts": ["Late", "Fuera de plazo"],
  "quality.cache": ["Cache hits", "Aciertos de caché"],
  "quality.events": ["Events, refused share", "Eventos, parte rechazada"],
  "quality.codes": ["Errors by code", "Errores por código"],
  "quality.reasons": ["Reasons for a lower rung", "Motivos de degradación"],
  "quality.no_errors": ["No errors, nothing degraded.", "Sin errores y nada degradado."],
  "column.name": ["Name", "Nombre"],
  "column.count": ["Count", "Cantidad"],
  "column.share": ["Share", "Parte"],

  "measured": ["measured {time}", "medido a las {time}"],
};

const REMEMBERED = "cauce.language";

let spoken = LANGUAGES.find((language) => language === remembered())
  ?? LANGUAGES.find((language) => navigator.language.startsWith(language))
  ?? "en";

export const language = () => spoken;

// Speaks another language from now on, and next time.
export function speak(language) {
  spoken = language;
  try {
    localStorage.setItem(REMEMBERED, language);
  } catch {
    // A browser that keeps nothing is asked by its own language next time.
  }
}

// A word, with values in its `{places}`; a word that is not in the table has no place here.
export function word(name, values = {}) {
  const text = known(name);
  if (text === undefined) throw new Error(`no word is named ${name}`);
  return filled(text, values);
}

// The same where the table has it in the spoken language, and else what the service says, which is English.
export function said(name, values, english) {
  const text = known(name);
  return text === undefined ? { text: english, lang: "en" } : { text: filled(text, values), lang: spoken };
}

const filled = (text, values) => text.replace(/\{(\w+)\}/g, (_, place) => values[place]);

// The word for a name that the service gives, or that name in readable form: it may have more than the page knows.
export const name = (kind, given) => known(`${kind}.${given}`) ?? readable(given);

// Whether there is a word for it in the spoken language.
export const known = (name) => WORDS[name]?.[LANGUAGES.indexOf(spoken)] ?? undefined;

// `monthly_income` -> `Monthly income`
export function readable(given) {
  const text = given.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

// Puts the words into the elements that name them.
export function translate() {
  document.documentElement.lang = spoken;
  document.title = `Cauce · ${word("title")}`;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", word(element.dataset.label));
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", button.dataset.language === spoken);
  }
}

function remembered() {
  try {
    return localStorage.getItem(REMEMBERED);
  } catch {
    return null;
  }
}
