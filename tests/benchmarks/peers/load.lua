-- What wrk sends: webhook events, each with its own id and signature, and what it reports.
--
-- Environment: LOAD_FILE holds a line "ID SIGNATURE" for each request, LOAD_BODY the body with @ID@ in
-- the place of the id, LOAD_PATH the path, LOAD_HEADER the name of the signature's header.

local before, after
local ids, signatures, count = {}, {}, 0
local at = 0

local function read(name)
  local file = assert(io.open(os.getenv(name), "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

function init(args)
  local body = read("LOAD_BODY")
  local from, to = body:find("@ID@", 1, true)
  before, after = body:sub(1, from - 1), body:sub(to + 1)
  for line in read("LOAD_FILE"):gmatch("[^\n]+") do
    count = count + 1
    ids[count], signatures[count] = line:match("^(%S+) (%S+)$")
  end
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  at = at % count + 1
  wrk.headers[os.getenv("LOAD_HEADER")] = signatures[at]
  return wrk.format("POST", os.getenv("LOAD_PATH"), nil, before .. ids[at] .. after)
end

function done(summary, latency, requests)
  io.write(string.format(
    '\nRESULT {"requests": %d, "us": %d, "bad": %d, "p50": %.3f, "p99": %.3f}\n',
    summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read
      + summary.errors.write + summary.errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
