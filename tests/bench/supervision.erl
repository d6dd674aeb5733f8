%% SPDX-License-Identifier: MIT
%% The same measurement in Erlang/OTP: supervision:main(Failures) prints the line of JSON that bench_supervision prints. A gen_server under a
%% supervisor is killed; the time ends with the first call that is answered, which is tried again until then.
-module(supervision).
-behaviour(gen_server).
-export([main/1, start_server/0, init/1, handle_call/3, handle_cast/2]).

main([Failures]) ->
    Count = list_to_integer(atom_to_list(Failures)),
    logger:set_primary_config(level, none),
    {ok, _} = supervisor:start_link(?MODULE, supervisor),
    Took = lists:sort([begin timer:sleep(1), fail() end || _ <- lists:seq(1, Count)]),
    io:format("{\"name\": \"erlang_supervision\", \"p50_us\": ~.1f, \"p99_us\": ~.1f, \"count\": ~w}~n",
              [lists:nth(1 + Count div 2, Took) / 1.0e3, lists:nth(1 + Count * 99 div 100, Took) / 1.0e3, Count]),
    halt(0).

fail() ->
    Server = whereis(server),
    Began = erlang:monotonic_time(nanosecond),
    exit(Server, kill),
    ask(),
    erlang:monotonic_time(nanosecond) - Began.

ask() ->
    try gen_server:call(server, ask) of
        answer -> ok
    catch
        exit:_ -> erlang:yield(), ask()
    end.

start_server() -> gen_server:start_link({local, server}, ?MODULE, server, []).

init(supervisor) ->
    Server = #{id => server, start => {?MODULE, start_server, []}},
    {ok, {#{strategy => one_for_one, intensity => 1000000, period => 1}, [Server]}};
init(server) -> {ok, none}.

handle_call(ask, _From, State) -> {reply, answer, State}.
handle_cast(_, State) -> {noreply, State}.
