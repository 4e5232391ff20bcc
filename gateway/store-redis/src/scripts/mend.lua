-- Writes for the verb that has the store, or nothing at all.
-- KEYS[1] head. ARGV: tag, holder, then commands: number of words, words. Answers 1, or 0 when the store has been lost to another.
local tag = ARGV[1]
if redis.call('GET', tag .. 'offline') ~= ARGV[2] then return 0 end
local at, last = 3, #ARGV
while at <= last do
    local words = tonumber(ARGV[at])
    if ARGV[at + 1] == 'COUNT' then
        if redis.call('HINCRBY', ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]) <= 0 then
            redis.call('HDEL', ARGV[at + 2], ARGV[at + 3])
        end
    else
        redis.call(unpack(ARGV, at + 1, at + words))
    end
    at = at + words + 1
end
return 1
