PRAGMA application_id = 1347961159;
PRAGMA user_version = 1;
CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT;
INSERT INTO meta VALUES ('key', '1f66bc604611113b');
CREATE TABLE plans (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, state TEXT NOT NULL,
    environment TEXT NOT NULL, party TEXT NOT NULL, principal TEXT NOT NULL, request_hash TEXT NOT NULL,
    live INTEGER NOT NULL, changes INTEGER NOT NULL, operation TEXT, expires_at INTEGER NOT NULL,
    ended_at INTEGER, document TEXT NOT NULL, sealed BLOB
) STRICT;
INSERT INTO plans VALUES (1, 'pln_jqzeerwg9sckegd5mtnw', 'approved', 'home', 'label:planner', 'operator', 'e1fd3aae4ba08515d1efaaa1d103f45cf39580d7baa880692396936a4b04f84c', 1, 1, NULL, 1795385643122, NULL, '{"id":"pln_jqzeerwg9sckegd5mtnw","request":{"environment":"home","action":"start_vm","target":"vm/101","params":{"padding":""},"dry_run":false},"request_hash":"e1fd3aae4ba08515d1efaaa1d103f45cf39580d7baa880692396936a4b04f84c","plan_hash":"545c7ec22908b2bf0af33ece54b92b08cf6e994b4020c729d91ef091b597e6aa","requester":{"principal":"operator","label":"planner","shared":true},"environment_identity":"identity","policy_version":"base@sample","decision":{"allowed":true,"risk":"medium","requires_approval":false,"reason":"a sample","rules":["base:start_vm"],"approvals":1},"preview":{"calls":[{"method":"POST","path":["x"],"parameters":[{"name":"password","special":"secret"}],"tasks":[],"moves":[]}],"observed":{},"compared":[],"changes":[],"noop":false,"irreversible":false,"checks":[]},"requires":{"approvals":0,"assurance":"declared"},"created_at":"2026-11-22T21:14:03.122Z","expires_at":"2026-11-22T22:14:03.122Z","standing":{"state":"approved","approvals":[]}}', X'FC897210CE217F513D878B56FE494F3FA0F264A9ECC8A30DE8D9D5D907B0712E8FA1843DEEC21AEDC6BE08DA0042CB88D29C8CB067749645AE9B5B020D65B9996914BB0D583B2838A2715DF5239B1B2E65F4E9462F956DCA5BA187B9E47F03BAD0F4F96E853ED9B81E32D42B');
INSERT INTO plans VALUES (2, 'pln_jqkr9bqq8qaehbx66bc6', 'cancelled', 'home', 'label:planner', 'operator', 'e1fd3aae4ba08515d1efaaa1d103f45cf39580d7baa880692396936a4b04f84c', 0, 1, NULL, 1795385643122, 1795382043122, '{"id":"pln_jqkr9bqq8qaehbx66bc6","request":{"environment":"home","action":"start_vm","target":"vm/101","params":{"padding":""},"dry_run":false},"request_hash":"e1fd3aae4ba08515d1efaaa1d103f45cf39580d7baa880692396936a4b04f84c","plan_hash":"1d13066e2310175a232122df4c91f3dd16faaf122e042669a9a901ce8509a67e","requester":{"principal":"operator","label":"planner","shared":true},"environment_identity":"identity","policy_version":"base@sample","decision":{"allowed":true,"risk":"medium","requires_approval":false,"reason":"a sample","rules":["base:start_vm"],"approvals":1},"preview":{"calls":[{"method":"POST","path":["x"],"parameters":[{"name":"password","special":"secret"}],"tasks":[],"moves":[]}],"observed":{},"compared":[],"changes":[],"noop":false,"irreversible":false,"checks":[]},"requires":{"approvals":0,"assurance":"declared"},"created_at":"2026-11-22T21:14:03.122Z","expires_at":"2026-11-22T22:14:03.122Z","standing":{"state":"cancelled","approvals":[],"ended_at":"2026-11-22T21:14:03.122Z"}}', NULL);
INSERT INTO plans VALUES (3, 'pln_3pk26m4wfwppfaps935j', 'approved', 'home', 'label:planner', 'operator', 'e1fd3aae4ba08515d1efaaa1d103f45cf39580d7baa880692396936a4b04f84c', 1, 1, 'op_jqzeerwg9sckegd5mtnw', 1795385643122, NULL, '{"id":"pln_3pk26m4wfwppfaps935j","request":{"environment":"home","action":"start_vm","target":"vm/101","params":{"padding":""},"dry_run":false},"request_hash":"e1fd3aae4ba08515d1efaaa1d103f45cf39580d7baa880692396936a4b04f84c","plan_hash":"8b876227c26f64b8c9504893d7d7e0aaa511e0b757fa629f14295cbede81ea58","requester":{"principal":"operator","label":"planner","shared":true},"environment_identity":"identity","policy_version":"base@sample","decision":{"allowed":true,"risk":"medium","requires_approval":false,"reason":"a sample","rules":["base:start_vm"],"approvals":1},"preview":{"calls":[{"method":"POST","path":["x"],"parameters":[{"name":"password","special":"secret"}],"tasks":[],"moves":[]}],"observed":{},"compared":[],"changes":[],"noop":false,"irreversible":false,"checks":[]},"requires":{"approvals":0,"assurance":"declared"},"created_at":"2026-11-22T21:14:03.122Z","expires_at":"2026-11-22T22:14:03.122Z","standing":{"state":"approved","approvals":[],"operation":"op_jqzeerwg9sckegd5mtnw"}}', X'B0E509D04D9DAA48860A17CD1D1A4A566D5736D58C2B7772D0B51A5CAAE4207F800598296C6FDB5E31226BA972F2D705950B55945336469D112CD9E11E5337768AB30910C6CBC2E1E03E37C409F45B1E88701A04F0FD62A74DE2EC86E1A5F15C51CD');
CREATE INDEX plans_state ON plans (state);
CREATE INDEX plans_party ON plans (party);
CREATE INDEX plans_principal ON plans (principal, live);
CREATE INDEX plans_request ON plans (request_hash);
CREATE INDEX plans_due ON plans (expires_at) WHERE live = 1 AND operation IS NULL;
CREATE TABLE operations (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, plan TEXT NOT NULL,
    environment TEXT NOT NULL, state TEXT NOT NULL, ended_at INTEGER, document TEXT NOT NULL
) STRICT;
INSERT INTO operations VALUES (1, 'op_jqzeerwg9sckegd5mtnw', 'pln_3pk26m4wfwppfaps935j', 'home', 'running', NULL, '{"id":"op_jqzeerwg9sckegd5mtnw","plan":"pln_3pk26m4wfwppfaps935j","environment":"home","action":"start_vm","target":"vm/101","requester":{"principal":"operator","label":"planner","shared":true},"created_at":"2026-11-22T21:14:03.122Z","state":"running","started_at":"2026-11-22T21:14:03.122Z","steps":[{"sent_at":"2026-11-22T21:14:03.122Z","done":false}],"warnings":false,"known_tasks":[],"message":"","data":{"x":[1,1.0]},"log_tail":[],"moved":[],"approvals":[],"queue_position":0}');
CREATE INDEX operations_state ON operations (state);
CREATE INDEX operations_plan ON operations (plan);
CREATE TABLE requests (
    principal TEXT NOT NULL, route TEXT NOT NULL, key TEXT NOT NULL, payload_hash TEXT NOT NULL,
    record TEXT NOT NULL, environment TEXT NOT NULL, created_at INTEGER NOT NULL, status INTEGER, body BLOB,
    location TEXT, UNIQUE (principal, route, key)
) STRICT;
INSERT INTO requests VALUES ('bot', 'apply', 'k', 'h', 'op_jqzeerwg9sckegd5mtnw', 'home', 1795382043122, 202, X'7B7D', '/');
CREATE INDEX requests_created ON requests (created_at);
CREATE TABLE freezes (
    environment TEXT NOT NULL PRIMARY KEY, reason TEXT NOT NULL, set_by TEXT NOT NULL,
    set_at INTEGER NOT NULL, ends_at INTEGER
) STRICT;
INSERT INTO freezes VALUES ('', 'why', 'dora', 1795382043122, NULL);
CREATE TABLE audit_mark (
    one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, hash TEXT NOT NULL,
    settled INTEGER NOT NULL
) STRICT;
INSERT INTO audit_mark VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000', 7);
