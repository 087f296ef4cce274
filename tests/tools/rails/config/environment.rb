require "rails"
require "active_record/railtie"

class Shop < Rails::Application
  config.eager_load = false
  config.logger = Logger.new(File::NULL)
end

# What an application whose database is mirrored needs for db:schema:dump, which every migration ends
# with.
ActiveRecord::SchemaDumper.ignore_tables = [/\A_syncd_/] unless ENV["INCLUDE"]

Rails.application.initialize!
