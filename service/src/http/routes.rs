//! What is served where: one table that the router, the metrics and the OpenAPI document read.

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, Route as ActixRoute, guard};

use super::{
    admin, ahorro_valle, alerts, bundle, call, dashboard, docs, events, health, kpis, openapi, people, reload, score,
};
use crate::admission::Class;
use crate::deadline::Work;

/// One served address.
#[derive(Debug)]
pub struct Route {
    pub endpoint: Endpoint,
    pub method: Method,
    pub path: &'static str,
    /// Who goes first when there is too much to do.
    pub class: Class,
    pub summary: &'static str,
}

/// Names the rows of [`ROUTES`], in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    Score,
    ScoreBatch,
    Event,
    EventBatch,
    PersonFeatures,
    PersonTimeline,
    PersonExport,
    PersonErasure,
    Digest,
    Checkpoint,
    Bundle,
    Reload,
    Rollback,
    Health,
    Live,
    Ready,
    Metrics,
    Kpis,
    LiveKpis,
    Alerts,
    OpenApi,
    Docs,
    DocsScript,
    Dashboard,
    DashboardFile,
    Predecir,
    MetricasTiempoReal,
    WsMetricas,
    WsKpis,
}

impl Endpoint {
    /// What kind of work it does under a budget, where somebody waits for it.
    pub fn work(self) -> Option<Work> {
        match self {
            Self::Score => Some(Work::Score),
            Self::Predecir => Some(Work::Predecir),
            Self::Event => Some(Work::Events),
            _ => None,
        }
    }

    /// Whether one application is scored there.
    pub fn scores_one(self) -> bool {
        matches!(self.work(), Some(Work::Score | Work::Predecir))
    }
}

/// The methods in use; a `GET` answers `HEAD` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Delete,
}

const fn get(endpoint: Endpoint, path: &'static str, class: Class, summary: &'static str) -> Route {
    Route { endpoint, method: Method::Get, path, class, summary }
}

const fn post(endpoint: Endpoint, path: &'static str, class: Class, summary: &'static str) -> Route {
    Route { endpoint, method: Method::Post, path, class, summary }
}

const fn delete(endpoint: Endpoint, path: &'static str, class: Class, summary: &'static str) -> Route {
    Route { endpoint, method: Method::Delete, path, class, summary }
}

use Class::{Background, Batch, Interactive, Vital};

/// Everything that is served. Rows of one path stand together.
pub const ROUTES: [Route; 29] = [
    post(Endpoint::Score, "/v1/score", Interactive, "Score one application and record it"),
    post(Endpoint::ScoreBatch, "/v1/score/batch", Batch, "Score many applications in one run of the model"),
    post(Endpoint::Event, "/v1/events", Interactive, "Add one event to a person's history"),
    post(Endpoint::EventBatch, "/v1/events/batch", Batch, "Add many events, each on its own"),
    get(Endpoint::PersonFeatures, "/v1/people/{id}/features", Background, "The features of a person's history"),
    get(
        Endpoint::PersonTimeline,
        "/v1/people/{id}/timeline",
        Background,
        "A person's events as they were posted, newest first",
    ),
    get(Endpoint::PersonExport, "/v1/people/{id}", Background, "Everything that is held of a person"),
    delete(Endpoint::PersonErasure, "/v1/people/{id}", Background, "Erase a person from memory, state and log"),
    get(Endpoint::Digest, "/v1/admin/digest", Background, "One digest over all histories, to compare two instances by"),
    post(Endpoint::Checkpoint, "/v1/admin/checkpoint", Background, "Write a checkpoint now"),
    get(Endpoint::Bundle, "/v1/bundle", Background, "The bundle that is served"),
    post(Endpoint::Reload, "/admin/bundle", Vital, "Put another bundle in service"),
    post(Endpoint::Rollback, "/admin/bundle/rollback", Background, "Put the bundle before this one in service again"),
    get(Endpoint::Health, "/healthz", Vital, "Whether the service is well, and what it serves"),
    get(Endpoint::Live, "/livez", Vital, "Whether the process answers"),
    get(Endpoint::Ready, "/readyz", Vital, "Whether requests should be sent here"),
    get(Endpoint::Metrics, "/metrics", Vital, "Counts in the Prometheus text format"),
    get(Endpoint::Kpis, "/v1/kpis", Vital, "How the service did lately, and second by second in the last minute"),
    get(Endpoint::LiveKpis, "/v1/kpis/live", Vital, "The same every second, over a WebSocket"),
    get(Endpoint::Alerts, "/v1/alerts", Vital, "What is wrong now, and what was lately"),
    get(Endpoint::OpenApi, "/openapi.json", Background, "This interface as an OpenAPI 3.1 document"),
    get(Endpoint::Docs, "/docs", Background, "This interface as a page"),
    get(Endpoint::DocsScript, "/docs/page.js", Background, "The script of that page"),
    get(Endpoint::Dashboard, "/", Vital, "How the service does, live, as a page"),
    get(Endpoint::DashboardFile, "/dashboard/{file}", Vital, "What that page is made of"),
    post(Endpoint::Predecir, "/predecir", Interactive, "Score one application for the Ahorro Valle front-end"),
    get(
        Endpoint::MetricasTiempoReal,
        "/api/metricas-tiempo-real",
        Vital,
        "How the service does, for the Ahorro Valle front-end",
    ),
    get(Endpoint::WsMetricas, "/ws/metricas", Vital, "The same every second, over a WebSocket"),
    get(Endpoint::WsKpis, "/ws/kpis", Vital, "How the service did lately, every second, over a WebSocket"),
];

/// Where requests that match no route are counted, behind those that do.
pub const UNMATCHED: usize = ROUTES.len();

impl Route {
    /// Whether KPIs count what is asked there as a request: it is what the service is for, not how it is watched or read about.
    pub fn is_counted(&self) -> bool {
        use Endpoint::{Docs, DocsScript, OpenApi};
        self.class != Vital && !matches!(self.endpoint, OpenApi | Docs | DocsScript)
    }

    fn is_at(&self, path: &str) -> bool {
        let Some((before, rest)) = self.path.split_once('{') else { return path == self.path };
        let after = rest.split_once('}').map_or("", |(_, after)| after);
        let inner = path.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        inner.is_some_and(|inner| !inner.is_empty() && !inner.contains('/'))
    }
}

impl Method {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }

    /// As it stands in a request, `HEAD` included.
    pub const fn allow(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// The row of a path, whatever the method, or [`UNMATCHED`]: for what has to be known before the router is asked.
pub fn find(path: &str) -> usize {
    ROUTES.iter().position(|route| route.is_at(path)).unwrap_or(UNMATCHED)
}

/// Registers every route with the application of one worker thread.
pub fn configure(config: &mut ServiceConfig) {
    for rows in ROUTES.chunk_by(|one, next| one.path == next.path) {
        let refuse = move |request: HttpRequest| call::method_not_allowed(request, rows);
        let resource = rows.iter().fold(web::resource(rows[0].path), |resource, row| resource.route(handler(row)));
        config.service(resource.default_service(web::to(refuse)));
    }
    config.default_service(web::to(call::not_found));
}

fn handler(route: &Route) -> ActixRoute {
    let on = match route.method {
        Method::Get => web::route().guard(guard::Any(guard::Get()).or(guard::Head())),
        Method::Post => web::post(),
        Method::Delete => web::delete(),
    };
    match route.endpoint {
        Endpoint::Score => on.to(score::one),
        Endpoint::ScoreBatch => on.to(score::many),
        Endpoint::Event => on.to(events::one),
        Endpoint::EventBatch => on.to(events::many),
        Endpoint::PersonFeatures => on.to(people::features),
        Endpoint::PersonTimeline => on.to(people::timeline),
        Endpoint::PersonExport => on.to(people::export),
        Endpoint::PersonErasure => on.to(people::erase),
        Endpoint::Digest => on.to(admin::digest),
        Endpoint::Checkpoint => on.to(admin::checkpoint),
        Endpoint::Bundle => on.to(bundle::describe),
        Endpoint::Reload => on.to(reload::reload),
        Endpoint::Rollback => on.to(reload::roll_back),
        Endpoint::Health => on.to(health::health),
        Endpoint::Live => on.to(health::live),
        Endpoint::Ready => on.to(health::ready),
        Endpoint::Metrics => on.to(health::metrics),
        Endpoint::Kpis => on.to(kpis::newest),
        Endpoint::LiveKpis => on.to(kpis::live),
        Endpoint::Alerts => on.to(alerts::listed),
        Endpoint::OpenApi => on.to(openapi::serve),
        Endpoint::Docs => on.to(docs::page),
        Endpoint::DocsScript => on.to(docs::script),
        Endpoint::Dashboard => on.to(dashboard::page),
        Endpoint::DashboardFile => on.to(dashboard::file),
        Endpoint::Predecir => on.to(ahorro_valle::predecir),
        Endpoint::MetricasTiempoReal => on.to(ahorro_valle::metricas::now),
        Endpoint::WsMetricas => on.to(ahorro_valle::metricas::each_second),
        Endpoint::WsKpis => on.to(ahorro_valle::metricas::reports),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_as_the_router_finds_it() {
        for (path, endpoint) in [
            ("/v1/score", Some(Endpoint::Score)),
            ("/v1/people/c%2F1", Some(Endpoint::PersonExport)),
            ("/v1/people/c-1/features", Some(Endpoint::PersonFeatures)),
            ("/v1/people/c-1/timeline", Some(Endpoint::PersonTimeline)),
            ("/readyz", Some(Endpoint::Ready)),
            ("/", Some(Endpoint::Dashboard)),
            ("/dashboard/main.js", Some(Endpoint::DashboardFile)),
            ("/v1/people/", None),
            ("/v1/people/a/b", None),
            ("/v1/score/", None),
        ] {
            assert_eq!(find(path), endpoint.map_or(UNMATCHED, |endpoint| endpoint as usize), "{path}");
        }
    }

    #[test]
    fn every_endpoint_stands_in_its_own_row() {
        assert!(ROUTES.iter().enumerate().all(|(position, route)| route.endpoint as usize == position));
    }
}
