-- Reads what a batch needs to know, as of one moment.
-- KEYS[1] head. ARGV: tag, version known, then questions:
--   I id            the entry of an envelope id
--   D id leaf-hash  a delivery: location, state of its envelope, row, whether that foreign receipt is known, lease
--   E seq leaf-hash an envelope: state, row, whether that foreign receipt is known
--   B id            a receipt on its way back: row, lease
--   P before limit  envelopes that were final before then
--   N node          the nonce of a node's last commit
-- Answers the head, or nothing in its place when it has the version known, and then one answer a question.
local tag = ARGV[1]
local head = redis.call('GET', KEYS[1])
if head and string.sub(head, 1, 8) == ARGV[2] then head = '' end
local out = { head }
local at = 3
local last = #ARGV
while at <= last do
    local kind, what = ARGV[at], ARGV[at + 1]
    local answer
    if kind == 'I' then
        answer = redis.call('HGET', tag .. 'ids', what)
        at = at + 2
    elseif kind == 'D' then
        local place = redis.call('HGET', tag .. 'dids', what)
        answer = false
        if place then
            local row = redis.call('HMGET', tag .. 'e:' .. string.sub(place, 1, 12), 's', 'd' .. string.sub(place, 13, 16), 'f' .. ARGV[at + 2])
            answer = { place, row[1], row[2], row[3], redis.call('HGET', tag .. 'leases', 'd' .. place) }
        end
        at = at + 3
    elseif kind == 'E' then
        answer = redis.call('HMGET', tag .. 'e:' .. what, 's', 'h', 'f' .. ARGV[at + 2])
        at = at + 3
    elseif kind == 'B' then
        answer = { redis.call('HGET', tag .. 'back', what), redis.call('HGET', tag .. 'leases', 'r' .. what) }
        at = at + 2
    elseif kind == 'P' then
        answer = redis.call('ZRANGEBYSCORE', tag .. 'finished', '-inf', '(' .. what, 'LIMIT', 0, ARGV[at + 2])
        at = at + 3
    else
        answer = redis.call('HGET', tag .. 'nodes', what)
        at = at + 2
    end
    out[#out + 1] = answer
end
return out
