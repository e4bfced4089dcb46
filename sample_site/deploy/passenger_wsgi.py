"""The relay under Phusion Passenger, as cPanel's and Plesk's "Python app" run it.

Put this file and ``relay.env`` (see tracknow-relay.env.example) into the application's folder, and
install ``tracknow-static[relay]`` into its virtual environment.

Passenger ends processes that have nothing to do, and the thread that delivers ends with them. So
let cron deliver what is left, every five minutes:

    */5 * * * *  ~/relay/drain.sh >/dev/null

where drain.sh, which you make executable, is

    #!/bin/sh
    cd ~/relay
    export TRACKNOW_RELAY_LOG_LEVEL=warning
    exec ~/virtualenv/relay/bin/tracknow-relay --env-file relay.env drain
"""

from pathlib import Path

from dotenv import load_dotenv

load_dotenv(Path(__file__).with_name("relay.env"), interpolate=False)

from tracknow_static.relay import application  # noqa: E402, F401 - reads what was just loaded
