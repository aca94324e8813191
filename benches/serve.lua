-- What wrk sends: an invocation as in Dapr's how-to.
wrk.method = "POST"
wrk.body = '{"operation":"create","data":{"orderId":1}}'
wrk.headers["Content-Type"] = "application/json"
