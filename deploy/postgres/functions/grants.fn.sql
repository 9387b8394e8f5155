-- Who may do what. Everything is taken away first, so this file is the whole truth.
-- One writing daemon per table; readers see one town at a time (policies.fn.sql).

REVOKE ALL ON SCHEMA centraleta FROM PUBLIC;
GRANT USAGE ON SCHEMA centraleta TO centraleta_daemon, centraleta_definer, centraleta_public,
	centraleta_staff, centraleta_admin;
REVOKE ALL ON ALL TABLES IN SCHEMA centraleta FROM PUBLIC, centraleta_daemon, centraleta_definer,
	centraleta_intake, centraleta_routing, centraleta_dispatch, centraleta_notification,
	centraleta_analytics, centraleta_public, centraleta_staff, centraleta_admin;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA centraleta FROM PUBLIC, centraleta_daemon, centraleta_definer,
	centraleta_intake, centraleta_routing, centraleta_dispatch, centraleta_notification,
	centraleta_analytics, centraleta_public, centraleta_staff, centraleta_admin;

-- the definer's functions
GRANT SELECT, INSERT ON event, progress, delivery TO centraleta_definer;
GRANT SELECT, UPDATE ON lane, department_line TO centraleta_definer;	-- UPDATE: to lock rows

-- every daemon: the log, its own place in it, and the reference tables
GRANT SELECT ON lane, event, progress, lease, member, parked, config_revision, schema_migration
	TO centraleta_daemon;
GRANT INSERT, UPDATE, DELETE ON lease, member, parked TO centraleta_daemon;
GRANT DELETE ON progress TO centraleta_daemon;
GRANT USAGE ON SEQUENCE entity_number TO centraleta_daemon;
GRANT SELECT ON jurisdiction, jurisdiction_lane, department, department_line, service,
	service_attribute, service_attribute_value, area, rule_set, rule, working_hours, holiday, door
	TO centraleta_daemon;

GRANT SELECT ON api_key TO centraleta_intake, centraleta_dispatch;

-- intake writes, touches keys, and can't read contact
GRANT SELECT, INSERT, UPDATE ON idempotency, request_public TO centraleta_intake;
GRANT INSERT ON request, request_text, contact, inbound, photo TO centraleta_intake;
GRANT SELECT (lane, request, jurisdiction, code_hash, code_turn) ON request TO centraleta_intake;
GRANT SELECT, INSERT ON survey_answer TO centraleta_intake;
GRANT SELECT, INSERT, UPDATE ON submission TO centraleta_intake;

GRANT SELECT, INSERT ON route, work_item, work_request TO centraleta_routing;
GRANT SELECT (lane, request, jurisdiction, service, channel, lat, long, attributes, requested_at)
	ON request TO centraleta_routing;

GRANT SELECT, INSERT, UPDATE ON work_state, update_text TO centraleta_dispatch;
GRANT SELECT, INSERT, DELETE ON delivery_ack TO centraleta_dispatch;
GRANT SELECT ON delivery, work_item, work_request, request, request_text TO centraleta_dispatch;

GRANT SELECT, INSERT ON message, attempt, survey TO centraleta_notification;
GRANT SELECT, INSERT, UPDATE ON send_mark TO centraleta_notification;
GRANT SELECT ON contact, request, request_text, request_public, update_text, work_request
	TO centraleta_notification;

GRANT SELECT, INSERT, UPDATE ON analytics_request, rollup_day, rollup_close TO centraleta_analytics;

-- citizens: the public view, and the story behind a code
GRANT SELECT ON jurisdiction, department, service, area, request_public, request_text, route,
	survey, survey_answer, event, lane, jurisdiction_lane, config_revision TO centraleta_public;
GRANT SELECT (lane, request, jurisdiction, service, channel, requested_at, code_hash, code_turn)
	ON request TO centraleta_public;
GRANT SELECT (lane, work_item, request_lane, request, jurisdiction) ON work_request TO centraleta_public;
GRANT SELECT (lane, work_item, jurisdiction, department, kind, outcome, note, at)
	ON update_text TO centraleta_public;

-- staff: everything of one town but secrets
GRANT SELECT ON ALL TABLES IN SCHEMA centraleta TO centraleta_staff;
REVOKE ALL ON api_key, idempotency FROM centraleta_staff;
-- nor what names no town and so can't be kept to one
REVOKE ALL ON delivery_ack, department_line, member, schema_function, schema_migration FROM centraleta_staff;

-- the operators' command: configuration, and the wishes of parked rows
GRANT SELECT ON ALL TABLES IN SCHEMA centraleta TO centraleta_admin;
GRANT INSERT, UPDATE, DELETE ON jurisdiction, jurisdiction_lane, department, service, service_attribute,
	service_attribute_value, area, rule_set, rule, working_hours, holiday, door, api_key
	TO centraleta_admin;
GRANT INSERT ON department_line TO centraleta_admin;
GRANT UPDATE ON config_revision TO centraleta_admin;
GRANT UPDATE (wish, owner, deadline) ON parked TO centraleta_admin;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA centraleta TO centraleta_admin;
