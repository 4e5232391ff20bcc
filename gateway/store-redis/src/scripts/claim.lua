-- Leases due work.
-- KEYS[1] head. ARGV: tag, node, now, until, then for each lane: name, limit.
-- A lease says: token, node, the wake-up before it, lane. Answers the items (number of the lane, item, token, row), then the envelopes of
-- the deliveries among them (number, state, row), each once.
local tag, node, now, till = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('EXISTS', tag .. 'offline') == 1 then return redis.error_reply('OFFLINE a verb of the command line has the store') end
local items, envelopes, seen = {}, {}, {}
for at = 5, #ARGV, 2 do
    local lane = ARGV[at]
    local queue = tag .. 'lane:' .. lane
    local due = redis.call('ZRANGEBYSCORE', queue, '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[at + 1])
    for i = 1, #due, 2 do
        local item, wake = due[i], due[i + 1]
        local token = redis.call('INCR', tag .. 'tokens')
        redis.call('ZADD', queue, till, item)
        redis.call('HSET', tag .. 'leases', item, string.format('%d', token) .. ':' .. node .. ':' .. wake .. ':' .. lane)
        local row
        if string.sub(item, 1, 1) == 'd' then
            local seq = string.sub(item, 2, 13)
            row = redis.call('HGET', tag .. 'e:' .. seq, 'd' .. string.sub(item, 14, 17))
            if not seen[seq] then
                seen[seq] = true
                local envelope = redis.call('HMGET', tag .. 'e:' .. seq, 's', 'h')
                envelopes[#envelopes + 1] = { seq, envelope[1], envelope[2] }
            end
        else
            row = redis.call('HGET', tag .. 'back', string.sub(item, 2))
        end
        items[#items + 1] = { (at - 5) / 2, item, token, row }
    end
    local first = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
    if first[1] then
        redis.call('ZADD', tag .. 'lanes', first[2], lane)
    else
        redis.call('ZREM', tag .. 'lanes', lane)
    end
end
return { items, envelopes }
