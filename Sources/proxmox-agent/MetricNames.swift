import Metrics

/// Every metric that the agent shows. docs/monitoring lists them by this table.
enum MetricNames {
    // MARK: Requests

    static let requests = MetricFamily(
        "proxmox_agent_http_requests", .counter, ["route", "method", "status"],
        "Answers, by the route's template; none for paths and methods without a route")
    static let requestTime = MetricFamily(
        "proxmox_agent_http_request_duration_seconds", .histogram, ["route", "method"],
        "Time from the complete request to its answer")
    static let inFlight = MetricFamily(
        "proxmox_agent_http_requests_in_flight", .gauge, [], "Requests that have no answer yet, with this one")
    static let httpRefusals = MetricFamily(
        "proxmox_agent_http_refusals", .counter, ["reason"],
        "Requests refused before a route was asked; requests, urgent_requests and stored_bytes are the limits of one caller"
    )
    static let authFailures = MetricFamily(
        "proxmox_agent_auth_failures", .counter, ["credentials"],
        "Failed authentications, with wrong credentials or with none")

    // MARK: Decisions and changes

    static let refusals = MetricFamily(
        "proxmox_agent_refusals", .counter, ["code"], "Requests that the service refused, by error code")
    static let decisions = MetricFamily(
        "proxmox_agent_decisions", .counter, ["action", "risk", "outcome"],
        "What policy said to new requests: allowed, approval_required or denied")
    static let plans = MetricFamily(
        "proxmox_agent_plans", .gauge, ["state"], "Stored plans, with those of reads and dry runs")
    static let oldestAwaiting = MetricFamily(
        "proxmox_agent_approval_oldest_age_seconds", .gauge, [],
        "Age of the oldest plan that awaits approval; 0 if none does")
    static let reviewsOpen = MetricFamily(
        "proxmox_agent_reviews_open", .gauge, [],
        "Operations that passed something in an emergency, and that nobody has reviewed")
    static let oldestReview = MetricFamily(
        "proxmox_agent_review_oldest_age_seconds", .gauge, [], "Age of the oldest open review; 0 if none is")
    static let operations = MetricFamily("proxmox_agent_operations", .gauge, ["state"], "Stored operations")
    static let operationTime = MetricFamily(
        "proxmox_agent_operation_duration_seconds", .histogram, ["environment", "action", "result"],
        "Time from the apply to the end of an operation, by the state that it ended in")
    static let freezes = MetricFamily("proxmox_agent_freezes", .gauge, [], "Freezes in force")
    static let isFrozen = MetricFamily(
        "proxmox_agent_environment_frozen", .gauge, ["environment"], "Whether a freeze covers the environment")

    static let reloadFailed = MetricFamily(
        "proxmox_agent_policy_reload_failed", .gauge, [],
        "Whether the configuration was not taken over at the last reload, so that an earlier one is in force")

    // MARK: Proxmox VE

    static let callTime = MetricFamily(
        "proxmox_agent_pve_call_duration_seconds", .histogram, ["environment", "class"],
        "Time of one request to PVE, each try alone: read, change, or probe")
    static let callErrors = MetricFamily(
        "proxmox_agent_pve_call_errors", .counter, ["environment", "class", "reason"],
        "Requests to PVE that failed; refused are those with a status over 399")
    static let isUp = MetricFamily(
        "proxmox_agent_environment_up", .gauge, ["environment"], "Whether PVE answered the last probe")
    static let probedAt = MetricFamily(
        "proxmox_agent_environment_probe_timestamp_seconds", .gauge, ["environment"], "When PVE was last probed")
    static let environment = MetricFamily(
        "proxmox_agent_environment", .info, ["environment", "pve_version", "simulator"],
        "What PVE said that it is, at the last probe that it answered")

    // MARK: Notifications

    static let noticesSent = MetricFamily(
        "proxmox_agent_notifications_sent", .counter, ["target"], "Notifications that their destination took")
    static let noticeFailures = MetricFamily(
        "proxmox_agent_notification_failures", .counter, ["target"],
        "Tries to deliver a notification that failed; most are tried again")
    static let noticesWaiting = MetricFamily(
        "proxmox_agent_notifications_waiting", .gauge, ["target"], "Notifications that are not delivered yet")
    static let noticesDead = MetricFamily(
        "proxmox_agent_notifications_dead", .gauge, ["target"],
        "Notifications that were given up, and that nobody has sent again")
    static let oldestNotice = MetricFamily(
        "proxmox_agent_notification_oldest_age_seconds", .gauge, ["target"],
        "Age of the oldest notification that is not delivered yet; 0 if none is")

    // MARK: Audit log and state

    static let auditRecords = MetricFamily(
        "proxmox_agent_audit_records", .counter, ["kind"], "Records in the audit log, without those of the log itself")
    static let auditFailures = MetricFamily(
        "proxmox_agent_audit_append_failures", .counter, [], "Records that the audit log did not take")
    static let auditSync = MetricFamily(
        "proxmox_agent_audit_sync_duration_seconds", .histogram, [], "Time of one sync of the audit log")
    static let auditQueue = MetricFamily(
        "proxmox_agent_audit_queue_length", .gauge, [], "Records that wait for the audit log's writer")
    static let auditHead = MetricFamily(
        "proxmox_agent_audit_head_sequence", .gauge, [], "Number of the newest synced record")
    static let auditFault = MetricFamily(
        "proxmox_agent_audit_fault", .gauge, ["cause"],
        "Whether the audit log takes no records, and why: full, unusable, changed by others, or a broken chain")
    static let checkpointSize = MetricFamily(
        "proxmox_agent_audit_checkpoint_size", .gauge, [], "Records in the newest signed checkpoint of the audit log")
    static let checkpointAt = MetricFamily(
        "proxmox_agent_audit_checkpoint_timestamp_seconds", .gauge, [],
        "When that was signed; missing before the first one")
    static let checkpointWithheld = MetricFamily(
        "proxmox_agent_audit_checkpoint_withheld", .gauge, ["reason"],
        "Whether no checkpoint is signed, and why: older files gone, another log than before, shorter than before, or not stored"
    )
    static let witnessSize = MetricFamily(
        "proxmox_agent_audit_witness_size", .gauge, ["witness"],
        "Records in the newest checkpoint that the witness has signed since the start")
    static let witnessAt = MetricFamily(
        "proxmox_agent_audit_witness_timestamp_seconds", .gauge, ["witness"],
        "When the witness signed that, by its own clock; missing before the first one")
    static let witnessFailures = MetricFamily(
        "proxmox_agent_audit_witness_failures", .counter, ["witness", "reason"],
        "Checkpoints that the witness did not sign; inconsistent and ahead are what a witness of a changed log says")
    static let leads = MetricFamily(
        "proxmox_agent_leads", .gauge, ["environment"],
        "Whether this agent of several carries out operations there: over all agents 1; missing for a lone one")
    static let isIdle = MetricFamily(
        "proxmox_agent_idle", .gauge, [],
        "Whether this agent of several carries out nothing: it differs, cannot write, waits for another's log, or is drained"
    )
    static let storeUp = MetricFamily(
        "proxmox_agent_store_up", .gauge, [], "Whether the state could be read for this scrape")
    static let storeCommit = MetricFamily(
        "proxmox_agent_store_commit_duration_seconds", .histogram, [], "Time of one commit to the state")
    static let storeWrites = MetricFamily(
        "proxmox_agent_store_writes", .counter, [], "Writes to the state; several share one commit")
    static let storeQueue = MetricFamily(
        "proxmox_agent_store_queue_length", .gauge, [], "Writes that wait for the state's writer")

    // MARK: The process and its machine

    static let diskFree = MetricFamily(
        "proxmox_agent_disk_free_bytes", .gauge, ["place"], "Free space on the file systems of audit log and state")
    static let diskFloor = MetricFamily(
        "proxmox_agent_disk_floor_bytes", .gauge, [], "Free space below which nothing new starts, limits.min_free_bytes"
    )
    static let certificateEnd = MetricFamily(
        "proxmox_agent_certificate_expiry_timestamp_seconds", .gauge, [],
        "When the listener's certificate expires; missing without TLS")
    static let build = MetricFamily("proxmox_agent_build", .info, ["version"], "The version of the program")
    static let cpu = MetricFamily("process_cpu_seconds", .counter, [], "Time on processors, user and system")
    static let resident = MetricFamily("process_resident_memory_bytes", .gauge, [], "Resident memory")
    static let virtual = MetricFamily("process_virtual_memory_bytes", .gauge, [], "Virtual memory")
    static let openFiles = MetricFamily("process_open_fds", .gauge, [], "Open file descriptors")
    static let maxFiles = MetricFamily("process_max_fds", .gauge, [], "Largest number of open file descriptors")
    static let startedAt = MetricFamily("process_start_time_seconds", .gauge, [], "When the process started")

    static let all = [
        requests, requestTime, inFlight, httpRefusals, authFailures, refusals, decisions, plans, oldestAwaiting,
        reviewsOpen, oldestReview,
        operations, operationTime, freezes, isFrozen, reloadFailed, callTime, callErrors, isUp, probedAt, environment,
        noticesSent,
        noticeFailures, noticesWaiting, noticesDead, oldestNotice, auditRecords,
        auditFailures, auditSync, auditQueue, auditHead, auditFault, checkpointSize, checkpointAt, checkpointWithheld,
        witnessSize,
        witnessAt, witnessFailures, leads, isIdle, storeUp, storeCommit, storeWrites, storeQueue,
        diskFree, diskFloor, certificateEnd, build, cpu, resident, virtual, openFiles, maxFiles, startedAt,
    ]
}
