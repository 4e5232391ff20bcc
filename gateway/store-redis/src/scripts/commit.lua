-- Commits one batch, or changes nothing. Every decision was taken on what stood under the version that is named here.
-- KEYS[1] head. ARGV: tag, version expected, node, nonce, new head,
--   number of leases, then for each: item, token; number of lanes, then their names; then commands: number of words, words.
-- A nonce is the number of an opening and that of a commit: an older opening under the same name writes no more.
-- Answers 1 committed, 2 this very commit had been made before, 0 another commit came first, 3 a lease has been taken over.
local tag = ARGV[1]
if redis.call('EXISTS', tag .. 'offline') == 1 then return redis.error_reply('OFFLINE a verb of the command line has the store') end
local last = redis.call('HGET', tag .. 'nodes', ARGV[3])
if last and tonumber(string.match(last, '^%d+')) > tonumber(string.match(ARGV[4], '^%d+')) then
    return redis.error_reply('SUPERSEDED another process has started under the name of this node')
end
if redis.call('GETRANGE', KEYS[1], 0, 7) ~= ARGV[2] then
    if last == ARGV[4] then return 2 end
    return 0
end
local at = 7
for _ = 1, tonumber(ARGV[6]) do
    local lease = redis.call('HGET', tag .. 'leases', ARGV[at])
    if not lease or string.match(lease, '^%d+') ~= ARGV[at + 1] then return 3 end
    at = at + 2
end
local lanes = {}
for i = 1, tonumber(ARGV[at]) do lanes[i] = ARGV[at + i] end
at = at + 1 + #lanes
apply(at)
for _, lane in ipairs(lanes) do
    local first = redis.call('ZRANGE', tag .. 'lane:' .. lane, 0, 0, 'WITHSCORES')
    if first[1] then
        redis.call('ZADD', tag .. 'lanes', first[2], lane)
    else
        redis.call('ZREM', tag .. 'lanes', lane)
    end
end
redis.call('HSET', tag .. 'nodes', ARGV[3], ARGV[4])
redis.call('SET', KEYS[1], ARGV[5])
return 1
