-- Makes leases run out later: all of them or none, never earlier.
-- KEYS[1] head. ARGV: tag, until, then for each lease: delivery id, token. Answers 1, or 0 when one no longer holds.
local tag, till = ARGV[1], ARGV[2]
local held, lanes = {}, {}
for at = 3, #ARGV, 2 do
    local place = redis.call('HGET', tag .. 'dids', ARGV[at])
    local lease = place and redis.call('HGET', tag .. 'leases', 'd' .. place)
    if not lease then return 0 end
    local token, lane = string.match(lease, '^(%d+):[^:]*:[^:]*:(.*)$')
    if token ~= ARGV[at + 1] then return 0 end
    held[#held + 1] = { 'd' .. place, lane }
end
for _, one in ipairs(held) do
    redis.call('ZADD', tag .. 'lane:' .. one[2], 'XX', 'GT', till, one[1])
    lanes[one[2]] = true
end
for lane in pairs(lanes) do
    local first = redis.call('ZRANGE', tag .. 'lane:' .. lane, 0, 0, 'WITHSCORES')
    if first[1] then redis.call('ZADD', tag .. 'lanes', first[2], lane) end
end
return 1
