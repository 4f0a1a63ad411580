"""The command line of lakekit."""
