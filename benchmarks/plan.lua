-- A dry run of starting a stopped guest, planned over and over.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = os.getenv("PLAN_BODY")
