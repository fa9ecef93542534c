//! Every route, with what it takes.

use super::{Serves, admin, api, health, media, method_not_allowed, not_found, webhooks};
use actix_web::web::{self, ServiceConfig, resource};

/// Paths of the Web API: ours, and those that existing clients have built in.
const API_PATHS: [&str; 3] = ["/api", "/include/api.php", "/script/include/api.php"];

/// Registers every route. Bodies are read by the handlers, up to `server.body_limit_bytes`.
pub fn configure(app: &mut ServiceConfig, serves: Serves) {
    let other = || web::route().to(method_not_allowed);
    let get = |app: &mut ServiceConfig, path: &str, route: actix_web::Route| {
        app.service(resource(path).route(route).default_service(other()));
    };
    get(app, "/healthz", web::get().to(health::alive));
    get(app, "/readyz", web::get().to(health::ready));
    get(app, "/metrics", web::get().to(health::metrics));
    app.default_service(web::route().to(not_found));
    if serves == Serves::Health {
        return;
    }
    for path in API_PATHS {
        app.service(
            resource(path)
                .route(web::post().to(api::call))
                .default_service(other()),
        );
    }
    app.service(
        resource("/webhooks/{channel}")
            .route(web::get().to(webhooks::receive))
            .route(web::post().to(webhooks::receive))
            .default_service(other()),
    );
    app.service(
        resource("/media/{key}")
            .route(web::get().to(media::serve))
            .route(web::head().to(media::serve))
            .default_service(other()),
    );
    get(app, "/openapi.json", web::get().to(api::openapi));
    get(app, "/docs", web::get().to(api::docs));
    get(app, "/admin/lanes", web::get().to(admin::lanes));
    get(
        app,
        "/admin/lanes/{lane}/pause",
        web::post().to(admin::pause),
    );
    get(
        app,
        "/admin/lanes/{lane}/resume",
        web::post().to(admin::resume),
    );
    get(app, "/admin/dead", web::get().to(admin::dead));
    get(app, "/admin/retry", web::post().to(admin::retry));
    get(app, "/admin/drop", web::post().to(admin::drop_letters));
    get(app, "/admin/messages/{id}", web::get().to(admin::message));
}
