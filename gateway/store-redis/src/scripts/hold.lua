-- Takes the store for a verb of the command line, keeps it, or gives it back.
-- KEYS[1] head. ARGV: tag, holder, milliseconds for which it has it, 0 to give it back; 1 to take it, 0 when it has to be held already.
-- Answers the holder, which is another one when the store was not to be had; the node that runs on it, if any, and the milliseconds until that
-- one will have been silent for too long; what an import that has not ended left.
local tag = ARGV[1]
local holder = redis.call('GET', tag .. 'offline')
if holder and holder ~= ARGV[2] then return { holder, false, 0, false } end
-- A verb that was silent for too long may have had a gateway after it: it never takes the store a second time.
if not holder and ARGV[4] == '0' then return { '', false, 0, false } end
if ARGV[3] == '0' then
    redis.call('DEL', tag .. 'offline')
else
    redis.call('SET', tag .. 'offline', ARGV[2], 'PX', ARGV[3])
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local node = redis.call('ZRANGEBYSCORE', tag .. 'alive', '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return { ARGV[2], node[1] or false, (node[2] or now) - now, redis.call('GET', tag .. 'importing') }
